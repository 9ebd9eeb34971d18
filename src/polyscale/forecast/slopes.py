"""How far a network's own shape and direction may be believed: slopes, a frozen fit on validation.

In: forecasts of validation and what came. Out: slopes between 0 and 1 per horizon. At 0 a probability of up
is one half, and quantiles have the base's shape around the forecast volatility: validation showed nothing
that the network knew beyond that. There is no intercept: a month's drift is no forecast. A horizon with few
labels that do not overlap has a slope of 0: thirty days fit one day ahead by chance (0.1 in one month, 1 in
the next), and what they fit was worse than nothing in the month after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from polyscale.forecast.predict import quantile_weights
from polyscale.market.forecast import Floats, Forecast

MIN_LABELS: Final = 100  # that do not overlap: with fewer nothing is believed
_TRUST: Final = 0.5  # of the best slope of a shape: what fits one month best fits the next less well


@dataclass(frozen=True, eq=False)
class Slopes:
    """Per horizon, of the logit of up and of the quantiles' distance from the base's."""

    direction: Floats  # [H]
    shape: Floats  # [H]


def fit_slopes(
    forecasts: Sequence[Forecast], log_returns: Sequence[Floats], base_quantiles: Floats
) -> Slopes:
    """Fit on all symbols together: by likelihood, and by pinball loss in units of the forecast volatility.

    Parameters
    ----------
    log_returns
        [N, H] of each forecast's origins; NaN is left out, and exact zeros have no direction.
    base_quantiles
        [H, Q] in units of volatility.
    """
    prob, volatility, quantiles = (
        np.concatenate([getattr(each, name) for each in forecasts])
        for name in ("prob_up", "volatility", "quantiles")
    )
    came = np.concatenate(list(log_returns))
    enough = _num_labels(forecasts, log_returns) >= MIN_LABELS
    horizons = range(came.shape[1])
    levels = np.array(forecasts[0].levels)
    direction = [_direction_slope(prob[:, h], came[:, h]) for h in horizons]
    shape = [
        _TRUST
        * _shape_slope(
            quantiles[:, h] / volatility[:, h, None], base_quantiles[h], came[:, h] / volatility[:, h], levels
        )
        for h in horizons
    ]
    return Slopes(np.where(enough, direction, 0.0), np.where(enough, shape, 0.0))


def sloped(forecast: Forecast, slopes: Slopes, base_quantiles: Floats) -> Forecast:
    """The forecast with its direction and shape drawn as far back as the slopes say."""
    plain = base_quantiles * forecast.volatility[..., None]
    quantiles = plain + slopes.shape[:, None] * (forecast.quantiles - plain)
    return replace(
        forecast,
        prob_up=1.0 / (1.0 + np.exp(-slopes.direction * _logit(forecast.prob_up))),
        quantiles=quantiles,
        expected_return=quantiles @ quantile_weights(forecast.levels),
    )


def _num_labels(forecasts: Sequence[Forecast], log_returns: Sequence[Floats]) -> NDArray[np.int64]:
    """Known labels that do not overlap [H], of the symbol with most: two symbols of a day are one day."""
    found = []
    for forecast, came in zip(forecasts, log_returns, strict=True):
        times = forecast.close_time.astype("datetime64[ms]").astype(np.int64)
        known = np.isfinite(came)
        found.append(
            [len(np.unique(times[known[:, h]] // each.ms)) for h, each in enumerate(forecast.horizons)]
        )
    return np.max(found, axis=0)


def _direction_slope(prob_up: Floats, log_return: Floats) -> float:
    """Temperature scaling (Guo et al. 2017), kept between 0 and 1."""
    moved = np.isfinite(log_return) & (log_return != 0)
    signed = _logit(prob_up[moved]) * np.sign(log_return[moved])
    return _best(lambda slope: float(np.logaddexp(0.0, -slope * signed).mean())) if moved.any() else 0.0


def _shape_slope(quantiles: Floats, base: Floats, standard_return: Floats, levels: Floats) -> float:
    known = np.isfinite(standard_return)
    own, came = quantiles[known] - base, standard_return[known, None] - base

    def loss(slope: float) -> float:
        miss = came - slope * own
        return float(np.maximum(levels * miss, (levels - 1.0) * miss).mean())

    return _best(loss) if known.any() else 0.0


def _best(loss: Callable[[float], float]) -> float:
    """Where a convex loss is least between 0 and 1, the ends included."""
    found = minimize_scalar(loss, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-4})
    return min((0.0, 1.0, float(found.x)), key=loss)


def _logit(prob: Floats) -> Floats:
    inside = np.clip(prob, 1e-6, 1 - 1e-6)
    return np.log(inside / (1 - inside))
