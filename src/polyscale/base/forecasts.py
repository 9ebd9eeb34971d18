"""The base forecast of the network, and the simple forecasts that it must beat.

In: base bars on their grid and their targets. Out: log mean variance per bar, horizon and model, one row per
bar.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.base.regressors import base_regressors, har_regressors
from polyscale.base.rolling import Loss, rolling_forecast
from polyscale.base.settings import BaseSettings, Kind
from polyscale.features.realised import squared_returns
from polyscale.features.windows import trailing_mean
from polyscale.market.timeframe import Timeframe
from polyscale.targets.targets import Targets, log_close

Floats = NDArray[np.float64]


def base_forecast(
    bars: pl.DataFrame,
    base: Timeframe,
    targets: Targets,
    settings: BaseSettings,
    since_ms: int | None = None,
) -> Floats:
    """The network's base [T, H]: Huber regression on HAR, range and season regressors, refitted daily.

    Days before ``since_ms`` are left NaN, if it is given.
    """
    if settings.kind is Kind.DAY:
        return np.repeat(2 * np.log(targets.sigma)[:, None], len(targets.horizons), axis=1)
    time_ms = bars["close_time"].dt.epoch("ms").to_numpy()
    regressors = base_regressors(bars, base)
    return rolling_forecast(
        regressors, targets.log_variance, time_ms, targets.horizons, settings, Loss.HUBER, since_ms
    )


def log_har(bars: pl.DataFrame, base: Timeframe, targets: Targets, settings: BaseSettings) -> Floats:
    """The reference log-HAR [T, H]: the four spans only, least squares, same window, refit and correction."""
    time_ms = bars["close_time"].dt.epoch("ms").to_numpy()
    regressors = har_regressors(bars, base)
    return rolling_forecast(
        regressors, targets.log_variance, time_ms, targets.horizons, settings, Loss.SQUARED
    )


def last_value(bars: pl.DataFrame, targets: Targets) -> Floats:
    """The variance of the last h as the forecast of the next h [T, H]."""
    squared = squared_returns(log_close(bars))
    return np.log(np.column_stack([trailing_mean(squared, n) for n in targets.bars_ahead]))
