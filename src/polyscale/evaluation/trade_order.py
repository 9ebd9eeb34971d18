"""What the order of its trades did for a backtest: the same trades in another order, and trades drawn anew.

In: the net return of every closed trade. Out: a `TradeOrder`: how deep equity falls in other orders, where
the order that happened stands among them, and what gain, drawdown and ruin to expect of trades of this kind.
Trades are taken as independent; drawdown is seen where trades close, and is deeper inside one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from polyscale.backtesting.measures import Absent
from polyscale.market.errors import DataError

# Shapes: d draws, k trades.
MIN_TRADES: Final = 10  # fewer say nothing of trades that did not happen
_TAIL: Final = 0.05
_SAME: Final = 1e-12  # drawdowns no further apart are tied: the sum of an order is rounded in its own way
_CHUNK: Final = 100_000  # drawn trades at once: they stay in the processor's cache


@dataclass(frozen=True)
class Spread:
    """Where a number lies over the draws: its quantiles at 5, 50 and 95 %."""

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class TradeOrder:
    """What equity comes to in other orders of the trades, and in runs of trades drawn with replacement."""

    num_trades: int
    final_return: float  # of the trades that happened, and of every order of them
    max_drawdown: float  # in the order that happened, positive share of the highest equity
    percentile: float  # share of orders whose drawdown is less, ties by half: near 0 the order was lucky
    reordered_drawdown: Spread
    drawn_return: Spread
    drawn_drawdown: Spread
    probability_of_loss: float  # share of drawn runs that end below where they began
    probability_of_ruin: float  # share of drawn runs whose drawdown reaches the limit
    ruin_drawdown: float  # that limit


def shuffle_trades(
    returns_k: Float64[np.ndarray, " k"],
    *,
    ruin_drawdown: float = 0.5,
    num_draws: int = 10_000,
    seed: int = 0,
) -> TradeOrder | Absent:
    """Monte Carlo over the order of trades, and over trades drawn with replacement.

    Equity is ``prod(1 + return)`` from 1 on, so the order moves the drawdown and never the final return; only
    drawing with replacement (a bootstrap: some trades twice, some not at all) moves both. A trade that loses
    everything, or more, ends at 0, and equity stays there. Losses that come in runs, because trades depend on
    each other, are torn apart by both: then the drawdowns here are too small, and a ``percentile`` near 1
    tells of it.

    Parameters
    ----------
    returns_k
        Net return of each closed trade as a share of equity at its entry, in order of time, finite; trades do
        not overlap. Fewer than `MIN_TRADES` give no distribution but a reason.
    ruin_drawdown
        Drawdown that counts as ruin, above 0 and at most 1.
    num_draws
        Orders, and as many runs of drawn trades. A probability is off by ``1 / (2 sqrt(draws))`` at most, as
        a standard error; that the trades are few is not in it.
    seed
        Of the draws; the same seed gives the same numbers.

    Raises
    ------
    DataError
        If a return is not finite, the limit is out of range, or there is no draw.
    """
    _check(returns_k, ruin_drawdown, num_draws)
    if returns_k.size < MIN_TRADES:
        return Absent(f"{returns_k.size} closed trades are fewer than {MIN_TRADES}")
    growth_k, rng = _log_growth(returns_k), np.random.default_rng(seed)
    reordered_d = drawdowns_of_orders(growth_k, num_draws, rng)
    drawn_return_d, drawn_drawdown_d = outcomes_of_draws(growth_k, num_draws, rng)
    drawdown = float(deepest_drawdowns(growth_k[None])[0])
    return TradeOrder(
        num_trades=returns_k.size,
        final_return=float(np.expm1(growth_k.sum())),
        max_drawdown=drawdown,
        percentile=percentile_of(drawdown, reordered_d),
        reordered_drawdown=spread_of(reordered_d),
        drawn_return=spread_of(drawn_return_d),
        drawn_drawdown=spread_of(drawn_drawdown_d),
        probability_of_loss=float((drawn_return_d < -_SAME).mean()),
        probability_of_ruin=float((drawn_drawdown_d >= ruin_drawdown - _SAME).mean()),
        ruin_drawdown=ruin_drawdown,
    )


def _check(returns_k: Float64[np.ndarray, " k"], ruin_drawdown: float, num_draws: int) -> None:
    broken = int((~np.isfinite(returns_k)).sum())
    if broken:
        raise DataError(f"returns of trades must be finite, got {broken} not; leave open trades out")
    if not 0.0 < ruin_drawdown <= 1.0:
        raise DataError(f"ruin_drawdown must be above 0 and at most 1, got {ruin_drawdown}")
    if num_draws < 1:
        raise DataError(f"num_draws must be >= 1, got {num_draws}")


def _log_growth(returns_k: Float64[np.ndarray, " k"]) -> Float64[np.ndarray, " k"]:
    """Log of ``1 + return``, minus infinity where all or more was lost: sums of logs never overflow."""
    left_k = 1.0 + returns_k
    return np.log(left_k, out=np.full(left_k.shape, -np.inf), where=left_k > 0.0)


def drawdowns_of_orders(
    growth_k: Float64[np.ndarray, " k"], num_draws: int, rng: np.random.Generator
) -> Float64[np.ndarray, " d"]:
    """Deepest drawdown of each of ``num_draws`` random orders of the trades, all orders equally likely."""

    def draw(rows: int) -> Float64[np.ndarray, "d k"]:
        return rng.permuted(np.broadcast_to(growth_k, (rows, growth_k.size)), axis=1)

    chunks = _chunks(draw, num_draws, growth_k.size)
    return np.concatenate([deepest_drawdowns(growth_dk) for growth_dk in chunks])


def outcomes_of_draws(
    growth_k: Float64[np.ndarray, " k"], num_draws: int, rng: np.random.Generator
) -> tuple[Float64[np.ndarray, " d"], Float64[np.ndarray, " d"]]:
    """Final return and deepest drawdown of runs of as many trades, drawn with replacement."""

    def draw(rows: int) -> Float64[np.ndarray, "d k"]:
        return growth_k[rng.integers(growth_k.size, size=(rows, growth_k.size))]

    chunks = _chunks(draw, num_draws, growth_k.size)
    found = [(np.expm1(g_dk.sum(axis=1)), deepest_drawdowns(g_dk)) for g_dk in chunks]
    return np.concatenate([one for one, _ in found]), np.concatenate([other for _, other in found])


def _chunks(
    draw: Callable[[int], Float64[np.ndarray, "d k"]], num_draws: int, num_trades: int
) -> Iterator[Float64[np.ndarray, "d k"]]:
    """All draws, a few rows at a time: the generator goes from row to row, so it does not matter how many."""
    rows = max(1, _CHUNK // num_trades)
    return (draw(min(rows, num_draws - start)) for start in range(0, num_draws, rows))


def deepest_drawdowns(growth_dk: Float64[np.ndarray, "d k"]) -> Float64[np.ndarray, " d"]:
    """Deepest fall of each row below its highest equity before, the start included, as a positive share."""
    log_equity_dk = np.cumsum(growth_dk, axis=1)
    peak_dk = np.maximum(np.maximum.accumulate(log_equity_dk, axis=1), 0.0)
    return np.abs(np.expm1((log_equity_dk - peak_dk).min(axis=1)))


def percentile_of(value: float, draws_d: Float64[np.ndarray, " d"]) -> float:
    """Share of draws below a value, ties by half: 0 to 1."""
    below, above = (draws_d < value - _SAME).mean(), (draws_d > value + _SAME).mean()
    return float((1.0 + below - above) / 2.0)


def spread_of(draws_d: Float64[np.ndarray, " d"]) -> Spread:
    """Quantiles of draws at 5, 50 and 95 %."""
    low, median, high = np.quantile(draws_d, [_TAIL, 0.5, 1.0 - _TAIL])
    return Spread(float(low), float(median), float(high))
