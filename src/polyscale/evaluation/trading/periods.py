"""Where a strategy earned: by month, hour of day, weekday, by calm and wild markets.

In: a result of the backtest, a benchmark's on the same bars, and how to resample. Out: a `PartResult` per
month, hour, weekday or tercile. A bar belongs to the month, hour and weekday that it opened in, UTC. It
describes: with many parts some are clear of zero by chance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float64

from polyscale.backtesting.book import BAR
from polyscale.backtesting.measures import returns
from polyscale.backtesting.result import BacktestResult
from polyscale.evaluation.bootstrap import Bootstrap, Interval
from polyscale.evaluation.breakdown import Part, by_name, hours_of, months_of, regimes_of
from polyscale.evaluation.trading.entries import opens_trade
from polyscale.market.errors import DataError
from polyscale.market.timeframe import DAY_MS

# Shapes: t bars, b bars but the first, which has no return.
_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class PartResult:
    """Bars that go together. Returns *a day* are fractions per 24 hours of such bars, not compounded."""

    name: str
    num_bars: int
    total_return: float  # compounded over the bars
    return_a_day: float  # mean return of a bar times bars in a day
    benchmark_a_day: float
    excess_a_day: Interval  # the strategy's less the benchmark's
    in_market: float  # share of the bars that closed with a position
    num_entries: int  # trades entered


def by_month(
    result: BacktestResult, benchmark: BacktestResult | None, bootstrap: Bootstrap
) -> tuple[PartResult, ...]:
    """Part by calendar month, oldest first; names such as ``2026-01``. See `by_part`."""
    return by_part(result, benchmark, months_of(_open_time(result)), bootstrap)


def by_hour(
    result: BacktestResult, benchmark: BacktestResult | None, bootstrap: Bootstrap
) -> tuple[PartResult, ...]:
    """Part by hour of day; ``13`` is from 13:00 to before 14:00. See `by_part`."""
    return by_part(result, benchmark, hours_of(_open_time(result)), bootstrap)


def by_weekday(
    result: BacktestResult, benchmark: BacktestResult | None, bootstrap: Bootstrap
) -> tuple[PartResult, ...]:
    """Part by day of the week, Monday first. See `by_part`."""
    day_b = (_open_time(result).astype("datetime64[D]").astype(np.int64) + 3) % 7  # 1970 began on a Thursday
    parts = by_part(result, benchmark, day_b.astype(str), bootstrap)
    return tuple(replace(part, name=_WEEKDAYS[int(part.name)]) for part in parts)


def by_regime(
    result: BacktestResult,
    benchmark: BacktestResult | None,
    volatility_t: Float64[np.ndarray, " t"],
    bootstrap: Bootstrap,
) -> tuple[PartResult, ...]:
    """Part by terciles of a volatility: ``calm``, ``middle``, ``wild``. See `by_part`.

    Parameters
    ----------
    volatility_t
        At each close, known there, finite. A bar is parted by that of the close before it, so that the bar's
        own move does not choose its part. The borders of the terciles are known only afterwards.
    """
    if volatility_t.shape != result.grid.close_ms.shape:
        raise DataError(
            f"volatility must have one value per bar {result.grid.close_ms.shape}, got {volatility_t.shape}"
        )
    return by_part(result, benchmark, regimes_of(volatility_t[:-1]), bootstrap)


def by_part(
    result: BacktestResult, benchmark: BacktestResult | None, names_b: np.ndarray, bootstrap: Bootstrap
) -> tuple[PartResult, ...]:
    """Part the bars but the first by any name that each of them has, in the names' order.

    Parameters
    ----------
    result
        Of the strategy.
    benchmark
        On the same bars, such as `polyscale.backtesting.engine.buy_and_hold`; absent for cash.
    bootstrap
        Block length in bars, for the whole time: see `polyscale.evaluation.breakdown.by_name`. Blocks should
        be longer than positions are held.

    Raises
    ------
    DataError
        If the benchmark is on other bars, or the names are not one per bar but the first.
    """
    if benchmark is not None and not np.array_equal(benchmark.grid.close_ms, result.grid.close_ms):
        raise DataError(
            f"the benchmark must be on the strategy's bars, got {len(benchmark.grid.close_ms)} closes that "
            f"are not its {len(result.grid.close_ms)}"
        )
    return_b = returns(result.equity)
    other_b = np.zeros_like(return_b) if benchmark is None else returns(benchmark.equity)
    parts = by_name(return_b, other_b, names_b, bootstrap)
    return tuple(_part_result(part, result, return_b, names_b == part.name) for part in parts)


def _open_time(result: BacktestResult) -> np.ndarray:
    """Open of each bar but the first."""
    return (result.grid.close_ms[1:] - result.grid.timeframe.ms).astype("datetime64[ms]")


def _part_result(
    part: Part, result: BacktestResult, return_b: Float64[np.ndarray, " b"], rows_b: np.ndarray
) -> PartResult:
    a_day = DAY_MS / result.grid.timeframe.ms
    fills = result.events.fills
    entry_b = fills[opens_trade(fills), BAR].astype(np.int64) - 1
    return PartResult(
        name=part.name,
        num_bars=part.num_origins,
        total_return=float(np.prod(1.0 + return_b[rows_b]) - 1.0),
        return_a_day=a_day * part.mean,
        benchmark_a_day=a_day * part.baseline_mean,
        excess_a_day=_times(part.difference, a_day),
        in_market=float((result.account.gross[1:] != 0.0)[rows_b].mean()),
        num_entries=int(np.count_nonzero(rows_b[entry_b])),
    )


def _times(interval: Interval, factor: float) -> Interval:
    low, high = (None if end is None else factor * end for end in (interval.low, interval.high))
    return replace(interval, mean=factor * interval.mean, low=low, high=high)
