"""How far a probability of up may be believed: one slope per horizon, a frozen fit on validation.

In: probabilities and what came. Out: slopes between 0 and 1 of the logit. At 0 every probability becomes one
half: validation showed nothing that could be known. There is no intercept: a month's drift is no forecast.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from polyscale.market.forecast import Floats, Forecast


def fit_slopes(prob_up: Floats, log_return: Floats) -> Floats:
    """Slopes [H] by maximum likelihood (temperature scaling, Guo et al. 2017, kept between 0 and 1).

    Parameters
    ----------
    prob_up
        [N, H] of validation origins, all symbols pooled.
    log_return
        [N, H] what came; NaN and exact zeros are left out.
    """
    return np.array([_slope(_logit(p), y) for p, y in zip(prob_up.T, log_return.T, strict=True)])


def sloped(forecast: Forecast, slopes: Floats) -> Forecast:
    """The forecast with its probabilities drawn towards one half."""
    return replace(forecast, prob_up=1.0 / (1.0 + np.exp(-slopes * _logit(forecast.prob_up))))


def _slope(logit: NDArray[np.float64], log_return: NDArray[np.float64]) -> float:
    moved = np.isfinite(log_return) & (log_return != 0)
    if not moved.any():
        return 0.0
    signed = logit[moved] * np.sign(log_return[moved])

    def loss(slope: float) -> float:
        return float(np.logaddexp(0.0, -slope * signed).mean())

    found = minimize_scalar(loss, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-4})
    return min((0.0, 1.0, float(found.x)), key=loss)


def _logit(prob: Floats) -> Floats:
    inside = np.clip(prob, 1e-6, 1 - 1e-6)
    return np.log(inside / (1 - inside))
