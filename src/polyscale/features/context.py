"""What is no bar of the symbol's own: funding, and the market of the other symbols, known at each close.

In: bars of a scale on their grid; funding rates; other symbols' base bars. Out: the bars with more columns,
each value the last one known at the row's ``close_time``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from polyscale.market.errors import DataError

_EIGHT_HOURS_MS: Final = 8 * 3_600_000
FUNDING_MEANS: Final = (3, 21)  # settlements: a day and a week of eight hours each


@dataclass(frozen=True, eq=False)
class Context:
    """What a symbol's features may know beside its own bars."""

    funding: pl.DataFrame | None = None  # time, funding_rate
    others: Mapping[str, pl.DataFrame] = field(default_factory=dict)  # base bars by symbol


def add_context(bars: pl.DataFrame, context: Context) -> pl.DataFrame:
    """Join what there is of the context to a scale's rows; known when: each row at its ``close_time``."""
    if context.funding is not None:
        bars = with_funding(bars, context.funding)
    if context.others:
        bars = with_market(bars, market_level(context.others))
    return bars


def with_funding(bars: pl.DataFrame, funding: pl.DataFrame) -> pl.DataFrame:
    """Add the last funding rate that was settled by each close, its age, and means of the last ones.

    Parameters
    ----------
    funding
        ``time`` of the settlement and ``funding_rate``; a rate is known at its time, not before.
    """
    if not funding["time"].is_sorted():
        raise DataError("funding must be sorted by time, got rows out of order; sort it")
    rate = pl.col("funding_rate")
    known = funding.select(
        "time",
        rate,
        pl.col("time").alias("settled"),
        *(rate.rolling_mean(n).alias(f"funding_mean_{n}") for n in FUNDING_MEANS),
    )
    joined = bars.join_asof(known, left_on="close_time", right_on="time", strategy="backward")
    age_ms = (pl.col("close_time") - pl.col("settled")).dt.total_milliseconds()
    return joined.with_columns(funding_age=age_ms / _EIGHT_HOURS_MS).drop("time", "settled", strict=False)


def market_level(others: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The log level of a market in which all symbols weigh the same: ``close_time, market_level``.

    Each base bar it moves by the mean log return of the symbols that have this bar and the one before; it
    is there where at least one of them has. The level itself means nothing, only its changes do.
    """
    returns = [
        frame.select(
            "close_time",
            move=(pl.col("close") / pl.col("close").shift(1)).log(),
            gap=pl.col("close_time").diff(),
        )
        for frame in others.values()
    ]
    step = min(frame["gap"].min() for frame in returns)  # type: ignore[type-var]
    moves = pl.concat([frame.filter(pl.col("gap") == step) for frame in returns])
    mean = moves.group_by("close_time").agg(pl.col("move").mean()).sort("close_time")
    return mean.select("close_time", market_level=pl.col("move").cum_sum())


def with_market(bars: pl.DataFrame, level: pl.DataFrame) -> pl.DataFrame:
    """Add the market's level at exactly each close, null where the market has no bar then."""
    return bars.join(level, on="close_time", how="left", maintain_order="left")
