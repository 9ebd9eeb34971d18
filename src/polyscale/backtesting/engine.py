"""The backtest of one symbol: positions decided at closes, filled at the next bar's open, with all costs.

In: bars, positions, what trading costs, funding. Out: a `BacktestResult`. The doors are here, the walk over
bars is `polyscale.backtesting.loop`.

A decision at the close of bar t is filled at the open of the next bar that exists, after a gap too. An order
is made only where the target differs from the one decided before; between orders the coins are kept and their
share of the equity drifts. A decision at the last bar is never filled.
"""

from __future__ import annotations

import logging

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.backtesting.funding import funding_rates
from polyscale.backtesting.loop import Venue, replay
from polyscale.backtesting.result import BacktestResult, Replayed, make_result
from polyscale.backtesting.settings import BacktestSettings
from polyscale.market.bars import check_bars
from polyscale.market.errors import DataError
from polyscale.market.position import Positions
from polyscale.market.timeframe import Timeframe

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
logger = logging.getLogger(__name__)


def run_backtest(
    bars: pl.DataFrame,
    timeframe: Timeframe,
    positions: Positions,
    settings: BacktestSettings,
    funding: pl.DataFrame | None,
) -> BacktestResult:
    """Trade the positions over the bars.

    Parameters
    ----------
    bars
        Rows of `BAR_SCHEMA`. The run spans all of them: cut them to the time that is to be measured.
    timeframe
        Of the bars; annualises the measures.
    positions
        Each decided at the close of one of the bars; not every bar needs one.
    settings
        Capital, costs, margin.
    funding
        Rows of `FUNDING_SCHEMA`. None charges ``assumed_funding_8h`` to either side at 00, 08 and 16 UTC.

    Raises
    ------
    DataError
        If bars or funding break their contract, there are fewer than two bars, positions do not rise or are
        decided where there is no bar, or funding does not cover the bars.
    """
    bars = check_bars(bars, timeframe)
    if bars.height < 2:
        raise DataError(f"a backtest needs >= 2 bars, one to decide and one to fill, got {bars.height}")
    close_ms = bars["close_time"].dt.epoch("ms").to_numpy()
    rates = funding_rates(funding, close_ms - timeframe.ms, settings.assumed_funding_8h)
    replayed = replay(
        bars.select("open", "high", "low", "close").to_numpy(order="c"),
        _orders(positions, close_ms, settings.max_leverage),
        rates.by_bar,
        settings.initial_capital,
        Venue(settings.fee, settings.slippage, settings.maintenance, settings.max_leverage),
    )
    return make_result(bars, timeframe, Replayed(*replayed), settings.initial_capital, rates.source)


def buy_and_hold(
    bars: pl.DataFrame, timeframe: Timeframe, settings: BacktestSettings, funding: pl.DataFrame | None
) -> BacktestResult:
    """Decide for a target of 1 at the first close and keep the coins: the benchmark under the same costs."""
    first = bars["close_time"].head(1).dt.replace_time_zone(None).to_numpy()
    return run_backtest(bars, timeframe, Positions(first, np.ones(len(first))), settings, funding)


def _orders(positions: Positions, close_ms: Times, max_leverage: float) -> Floats:
    """[T]: the target to fill at each bar's open; NaN where nothing new was decided at the bar before."""
    decided_ms = positions.close_time.astype("datetime64[ms]").astype(np.int64)
    rows = _rows_of(decided_ms, close_ms)
    changed = np.diff(positions.target, prepend=0.0) != 0
    over = int((np.abs(positions.target[changed]) > max_leverage).sum())
    if over:
        logger.warning("%d orders ask for more than max_leverage = %g and are cut to it", over, max_leverage)
    orders = np.full(len(close_ms) + 1, np.nan)
    orders[rows[changed] + 1] = positions.target[changed]
    return orders[:-1]


def _rows_of(decided_ms: Times, close_ms: Times) -> Times:
    """Row of the bar at whose close each position was decided."""
    if (np.diff(decided_ms) <= 0).any():
        at = decided_ms[1:][np.diff(decided_ms) <= 0][:1].astype("datetime64[ms]")[0]
        raise DataError(f"positions.close_time must rise and not repeat, broken at {at}; sort them")
    rows = np.minimum(np.searchsorted(close_ms, decided_ms), len(close_ms) - 1)
    outside = decided_ms[close_ms[rows] != decided_ms].astype("datetime64[ms]")
    if len(outside):
        start, end = close_ms[[0, -1]].astype("datetime64[ms]")
        raise DataError(
            f"positions must be decided at the close of a bar; {len(outside)} of {len(rows)} are not, first "
            f"{outside[0]}; bars go from {start} to {end} UTC: cut the positions, or give the missing bars"
        )
    return rows
