"""Many parameter sets of a strategy over the same bars: what each of them returned, period by period.

In: an exchange that is open, parameter sets, and how a set becomes positions. Out: a `Sweep`, which is what
the deflated Sharpe ratio and the probability of overfitting ask for. Each set is one run of the backtest, of
which only the equity at closes of periods is kept and no frame is made; sets run side by side in threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import numpy as np
from jaxtyping import Float64, Int64

from polyscale.backtesting.engine import Exchange
from polyscale.backtesting.measures import returns, total_return
from polyscale.backtesting.settings import BacktestSettings
from polyscale.evaluation.trading.by_period import last_bars
from polyscale.evaluation.trading.entries import opens_trade
from polyscale.market.errors import DataError
from polyscale.market.position import Positions
from polyscale.market.timeframe import Timeframe

# Shapes: n parameter sets, d periods.
DAY: Final = Timeframe(1_440)
_FLAT: Final = 1e-14  # returns with less deviation do not vary, as in `polyscale.backtesting.measures`
Set = TypeVar("Set")


@dataclass(frozen=True, eq=False)
class Sweep(Generic[Set]):
    """What every set came to, after costs. A period that no bar closed in is left out."""

    sets: tuple[Set, ...]
    period: Timeframe
    close_ms_d: Int64[np.ndarray, " d"]  # last close of each period
    returns_dn: Float64[np.ndarray, "d n"]  # simple; of the first period since the initial capital
    total_return_n: Float64[np.ndarray, " n"]
    sharpe_n: Float64[np.ndarray, " n"]  # per period, not per year; 0, as cash, where returns do not vary
    num_trades_n: Int64[np.ndarray, " n"]  # entered, those that are still open included


def sweep(
    exchange: Exchange,
    sets: Sequence[Set],
    positions_of: Callable[[Set], Mapping[str, Positions]],
    settings: BacktestSettings,
    period: Timeframe = DAY,
    num_threads: int | None = None,
) -> Sweep[Set]:
    """Run every set; each comes to exactly what a run of its own comes to.

    Parameters
    ----------
    exchange
        Bars, funding and order rules, checked once for all sets.
    sets
        What `positions_of` understands; at least one.
    positions_of
        Positions by symbol. It is called from several threads at once, so it must not change what it shares.
    settings
        Capital, costs, margin: the same for all sets.
    period
        Of the returns, in UTC: a whole multiple of the bars, and no shorter than positions are held if the
        Sharpe ratios are to be scored.
    num_threads
        None: one per processor. The result does not depend on it.

    Raises
    ------
    ConfigError
        If the period is no whole multiple of the bars.
    DataError
        If there is no set, the bars lie within one period, or the positions of a set break their contract.
    """
    last_d = last_bars(exchange.grid, period)
    if len(sets) == 0 or len(last_d) < 2:
        raise DataError(f"a sweep needs a set and two periods, got {len(sets)} and {len(last_d)} of {period}")

    def run(one: Set) -> tuple[Float64[np.ndarray, " d"], int]:
        result = exchange.run(positions_of(one), settings)
        return result.equity[last_d], int(np.count_nonzero(opens_trade(result.events.fills)))

    with ThreadPoolExecutor(num_threads or os.cpu_count()) as pool:
        equities, trades = zip(*pool.map(run, sets), strict=True)
    equity_dn = np.stack([np.append(settings.initial_capital, equity_d) for equity_d in equities], axis=1)
    returns_dn = np.stack([returns(equity_n) for equity_n in equity_dn.T], axis=1)
    return Sweep(
        sets=tuple(sets),
        period=period,
        close_ms_d=exchange.grid.close_ms[last_d],
        returns_dn=returns_dn,
        total_return_n=np.array([total_return(equity_n) for equity_n in equity_dn.T]),
        sharpe_n=sharpe_per_period(returns_dn),
        num_trades_n=np.array(trades, dtype=np.int64),
    )


def sharpe_per_period(returns_dn: Float64[np.ndarray, "d n"]) -> Float64[np.ndarray, " n"]:
    """Mean over deviation (``ddof=1``) of each column, of at least two rows; 0 where returns do not vary."""
    deviation_n = returns_dn.std(axis=0, ddof=1)
    return np.divide(
        returns_dn.mean(axis=0), deviation_n, out=np.zeros_like(deviation_n), where=deviation_n > _FLAT
    )
