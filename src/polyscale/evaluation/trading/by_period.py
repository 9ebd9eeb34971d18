"""Returns of an account by period, from its equity at the closes of bars.

In: a `BacktestResult` and a period. Out: simple returns. Periods are long enough to hold a trade or more: a
Sharpe ratio of five-minute returns would count their dependence as evidence.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from polyscale.backtesting import measures
from polyscale.backtesting.prices import Grid
from polyscale.backtesting.result import BacktestResult
from polyscale.market.timeframe import Timeframe

# Shapes: d periods.


def last_bars(grid: Grid, period: Timeframe) -> Int64[np.ndarray, " d"]:
    """Last bar of each period; one that closes where a period ends belongs to it.

    Raises
    ------
    ConfigError
        If the period is no whole multiple of the bars.
    """
    grid.timeframe.bars_in(period)
    number_t = (grid.close_ms - period.offset_ms - 1) // period.ms
    return np.flatnonzero(np.append(np.diff(number_t) != 0, True))


def returns_by(result: BacktestResult, period: Timeframe) -> Float64[np.ndarray, " d"]:
    """Simple return of each period, of the first since the initial capital; the last may be cut short."""
    equity = result.equity[last_bars(result.grid, period)]
    return measures.returns(np.append(result.initial_capital, equity))
