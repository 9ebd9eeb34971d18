"""Whether the timing of a rule is more than chance: the same trades, entered at random times.

In: an exchange that is open and the positions of a strategy. Out: a `RandomEntries`: where the strategy's
return and Sharpe ratio stand among those of the same episodes in random orders. Number, length, side and size
of the trades are kept and so are the orders that cost; only when they happen is chance. A rule that earns by
being long in a market that rises earns at random times too: what is tested is the timing alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from polyscale.backtesting.engine import Exchange
from polyscale.backtesting.measures import Absent, sharpe_ratio, total_return
from polyscale.backtesting.result import BacktestResult
from polyscale.backtesting.settings import BacktestSettings
from polyscale.evaluation.trade_order import Spread, percentile_of, spread_of
from polyscale.evaluation.trading.episodes import Episodes, episodes_of, has_one_order, shuffled
from polyscale.market.errors import DataError
from polyscale.market.position import Positions

# Shapes: d draws.
_SAME: Final = 1e-12  # numbers no further apart are tied, against the rule


@dataclass(frozen=True)
class Standing:
    """Where a number of the strategy stands among those of the random times."""

    observed: float
    random: Spread
    percentile: float  # share of draws below it, ties by half
    p_value: float  # (1 + draws that are as good or better) / (1 + draws)


@dataclass(frozen=True)
class RandomEntries:
    """The strategy among its own trades at random times."""

    num_trades: int
    num_draws: int
    total_return: Standing
    sharpe_ratio: Standing | Absent  # of a year, as in the measures of the run


def random_entries(
    exchange: Exchange,
    positions: Mapping[str, Positions],
    settings: BacktestSettings,
    *,
    num_draws: int = 1000,
    seed: int = 0,
    num_threads: int | None = None,
) -> RandomEntries | Absent:
    """Permutation test of when a strategy is in the market; see `polyscale.evaluation.trading.episodes`.

    If the market cannot be timed, the order that happened is one like the others, and a p-value is at most x
    with a probability of at most x: one of 0.05 or less comes about once in twenty times. This holds for one
    strategy that was not chosen for its result on these bars.

    Parameters
    ----------
    exchange
        Bars, funding and order rules, checked once for all draws.
    positions
        By symbol, each shuffled by itself. Time is counted in rows, so give one per bar, to the last; what
        is decided hourly is shuffled in hours, and the last target is held to the end of the bars.
    settings
        Capital, costs, margin.
    num_draws
        The smallest p-value is ``1 / (1 + draws)``.
    seed
        Of the draws; each has a generator of its own.
    num_threads
        None: one per processor. The result does not depend on it.

    Returns
    -------
    RandomEntries or Absent
        Absent where nothing was traded, or where the episodes have one order only. A draw whose equity does
        not move, because each of its orders was refused, has a Sharpe ratio of 0.

    Raises
    ------
    DataError
        If there is no draw, or positions break their contract.
    """
    if num_draws < 1:
        raise DataError(f"num_draws must be >= 1, got {num_draws}")
    observed = exchange.run(positions, settings)
    if len(observed.events.fills) == 0:
        return Absent("nothing was traded")
    episodes = {
        symbol: _cut(exchange, symbol, each) for symbol, each in positions.items() if each.target.size
    }
    if all(has_one_order(each) for each in episodes.values()):
        return Absent("the episodes can be put in one order only")

    def draw(number: int) -> tuple[float, float]:
        rng = np.random.default_rng([seed, number])
        moved = {symbol: shuffled(each, rng) for symbol, each in episodes.items()}
        return_, sharpe = _worth(exchange.run(moved, settings))
        return return_, 0.0 if isinstance(sharpe, Absent) else sharpe

    with ThreadPoolExecutor(num_threads or os.cpu_count()) as pool:
        drawn_d2 = np.array(list(pool.map(draw, range(num_draws))))
    return_, sharpe = _worth(observed)
    return RandomEntries(
        num_trades=observed.n_trades,
        num_draws=num_draws,
        total_return=_standing(return_, drawn_d2[:, 0]),
        sharpe_ratio=sharpe if isinstance(sharpe, Absent) else _standing(sharpe, drawn_d2[:, 1]),
    )


def _cut(exchange: Exchange, symbol: str, positions: Positions) -> Episodes:
    grid = exchange.grid
    rows = np.searchsorted(grid.close_ms, positions.close_time.astype("datetime64[ms]").astype(np.int64))
    return episodes_of(positions, grid.prices.close[grid.symbols.index(symbol)][rows])


def _worth(result: BacktestResult) -> tuple[float, float | Absent]:
    return total_return(result.equity), sharpe_ratio(result.equity, result.grid.timeframe)


def _standing(observed: float, drawn_d: Float64[np.ndarray, " d"]) -> Standing:
    as_good = int(np.count_nonzero(drawn_d >= observed - _SAME))
    return Standing(
        observed=observed,
        random=spread_of(drawn_d),
        percentile=percentile_of(observed, drawn_d),
        p_value=(1 + as_good) / (1 + drawn_d.size),
    )
