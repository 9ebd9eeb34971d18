"""Losses of single forecasts: one number per element, small is good.

In: what came and what was said, as arrays. Out: the loss of each element; means and intervals are taken in
`polyscale.evaluation.bootstrap`. Known when the label is known: at the origin plus the horizon.
NaN in gives NaN out.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64


def qlike(
    log_realised: Float64[np.ndarray, "*shape"], log_forecast: Float64[np.ndarray, "*shape"]
) -> Float64[np.ndarray, "*shape"]:
    """Quasi-likelihood loss of a variance forecast, ``exp(z) - z - 1``, z = log realised - log forecast.

    0 where the forecast was right, about z^2 / 2 near it, and harsher on forecasts too low than too high. Its
    ranking of forecasts is robust to noise in the realised variance (Patton 2011, J. Econometrics 160).

    Parameters
    ----------
    log_realised, log_forecast
        Natural logs of variances in the same unit.
    """
    z = log_realised - log_forecast
    return np.expm1(z) - z


def pinball(
    y: Float64[np.ndarray, "*shape"],
    quantiles: Float64[np.ndarray, "*shape q"],
    levels: Float64[np.ndarray, " q"],
) -> Float64[np.ndarray, "*shape q"]:
    """Pinball loss of each quantile, ``max(p (y - x), (p - 1) (y - x))``, in the unit of ``y``.

    Its expectation is least at the true p-quantile; twice its mean over evenly spread levels approaches
    the CRPS (Gneiting and Raftery 2007).
    """
    miss = y[..., None] - quantiles
    return np.maximum(levels * miss, (levels - 1.0) * miss)


def brier(
    prob: Float64[np.ndarray, "*shape"], outcome: Float64[np.ndarray, "*shape"]
) -> Float64[np.ndarray, "*shape"]:
    """Squared error of a probability, ``(prob - outcome)^2``; outcome is 0 or 1, a coin scores 0.25."""
    return np.square(prob - outcome)
