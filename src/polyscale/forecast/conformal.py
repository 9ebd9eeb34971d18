"""Quantiles that learn from their misses: adaptive conformal steps, an online fit.

In: a forecast at consecutive origins and the returns that came. Out: the forecast with each quantile moved by
an offset in units of the forecast volatility. The offset at origin t was moved by returns with ``label_end <=
t`` alone.

A quantile of level p that lay under the return goes up by ``rate * p``, one that did not goes down by
``rate * (1 - p)``: over time as many lie under it as it promises, whatever the market does (Gibbs and Candes
2021; quantile tracking of Angelopoulos, Candes and Tibshirani 2023). Labels of neighbouring origins overlap,
so a step is shared among the origins of one horizon.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from polyscale.forecast.predict import quantile_weights
from polyscale.market.errors import DataError
from polyscale.market.forecast import Floats, Forecast

Ints = NDArray[np.int64]
RATE: Final = 0.05  # of the forecast volatility, per label that does not overlap


def conformal(forecast: Forecast, log_return: Floats, step_ms: int, rate: float = RATE) -> Forecast:
    """Move the quantiles; the first origins, before a label has ended, stay as they are.

    Parameters
    ----------
    forecast
        In order of time; the more of validation precedes the test, the better it begins.
    log_return
        [N, H] over the horizon; NaN where it is not known, which moves nothing.
    step_ms
        Between origins, at the least.

    Raises
    ------
    DataError
        If shapes differ or origins do not rise.
    """
    times = forecast.close_time.astype("datetime64[ms]").astype(np.int64)
    if log_return.shape != forecast.volatility.shape or (np.diff(times) <= 0).any():
        raise DataError(
            f"conformal needs rising origins and returns of shape {forecast.volatility.shape}, "
            f"got {log_return.shape}"
        )
    levels = np.array(forecast.levels)
    moved = np.empty_like(forecast.quantiles)
    for h, horizon in enumerate(forecast.horizons):
        share = rate * step_ms / max(horizon.ms, step_ms)
        quantiles, volatility, came = (
            np.ascontiguousarray(values[:, h])
            for values in (forecast.quantiles, forecast.volatility, log_return)
        )
        moved[:, h] = _track(times, quantiles, volatility, came, levels, horizon.ms, share)
    return replace(forecast, quantiles=moved, expected_return=moved @ quantile_weights(forecast.levels))


@njit(cache=True, nogil=True)
def _track(
    times: Ints,
    quantiles: Floats,
    volatility: Floats,
    returns: Floats,
    levels: Floats,
    ahead: int,
    rate: float,
) -> Floats:
    num, num_levels = quantiles.shape
    moved, offset = np.empty_like(quantiles), np.zeros(num_levels)
    ended = 0
    for i in range(num):
        while ended < i and times[ended] + ahead <= times[i]:
            if np.isfinite(returns[ended]):
                for k in range(num_levels):
                    over = returns[ended] > moved[ended, k]
                    offset[k] += rate * (levels[k] if over else levels[k] - 1.0)
            ended += 1
        moved[i] = np.sort(quantiles[i] + volatility[i] * offset)
    return moved
