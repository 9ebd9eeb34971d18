"""Volatility-managed holding: always long, the size such that the forecast volatility is the target.

In: a forecast volatility at each origin. Out: `Positions`. It trades on the forecast of volatility alone, so
it tells what that forecast is worth to somebody who holds the coin anyway.

References
----------
.. [1] Moreira, A. and Muir, T. (2017). Volatility-managed portfolios. The Journal of Finance, 72(4).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from polyscale.market.errors import DataError
from polyscale.market.position import Positions
from polyscale.market.settings import Settings
from polyscale.market.timeframe import DAY_MS, Timeframe
from polyscale.strategy.hold import hold_within
from polyscale.strategy.signal import on_grid
from polyscale.strategy.sizing import volatility_size

Floats = NDArray[np.float64]


class ManagedSettings(Settings):
    """How a volatility-managed position is kept."""

    target_volatility: float = Field(0.20, gt=0, description="sd of a year's return, fraction")
    max_leverage: float = Field(1.0, gt=0, le=100, description="cap on the target, share of equity")
    every: Timeframe = Field(Timeframe(DAY_MS // 60_000), description="the target is looked at on this grid")
    rebalance: float = Field(0.05, ge=0, description="a smaller change is let be, share of equity")


def volatility_managed(
    close_time: NDArray[np.datetime64], volatility: Floats, horizon: Timeframe, settings: ManagedSettings
) -> Positions:
    """Target ``min(target / (sigma sqrt(year / h)), cap)`` at the closes of the grid.

    Parameters
    ----------
    close_time
        [N] origins, rising.
    volatility
        [N] standard deviation of the return over the horizon, known at the origin, > 0.

    Raises
    ------
    DataError
        If no origin lies on the grid, or a volatility is not a finite number > 0.
    """
    kept = on_grid(close_time, settings.every)
    if not kept.any():
        raise DataError(f"no forecast is made at a close of {settings.every}; choose a grid that has some")
    if not (np.isfinite(volatility[kept]) & (volatility[kept] > 0)).all():
        raise DataError("a forecast volatility must be a finite number > 0")
    wished = volatility_size(volatility[kept], horizon, settings.target_volatility)
    return Positions(
        close_time[kept], hold_within(np.minimum(wished, settings.max_leverage), settings.rebalance)
    )
