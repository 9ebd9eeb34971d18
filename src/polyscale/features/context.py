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
from polyscale.market.timeframe import Timeframe

_EIGHT_HOURS_MS: Final = 8 * 3_600_000
FUNDING_MEANS: Final = (3, 21)  # settlements: a day and a week of eight hours each


@dataclass(frozen=True, eq=False)
class Context:
    """What a symbol's forecast may know beside its own bars.

    Features look at its funding and the others' base bars; a network that attends across symbols reads the
    others' own features, for which it may need their native bars and funding too.
    """

    funding: pl.DataFrame | None = None  # time, funding_rate
    others: Mapping[str, pl.DataFrame] = field(default_factory=dict)  # base bars by symbol
    others_native: Mapping[str, Mapping[Timeframe, pl.DataFrame]] = field(default_factory=dict)
    others_funding: Mapping[str, pl.DataFrame] = field(default_factory=dict)


def add_context(bars: pl.DataFrame, funding: pl.DataFrame | None, level: pl.DataFrame | None) -> pl.DataFrame:
    """Join what there is of funding and of `market_level` to a scale's rows; known when: at its close."""
    if funding is not None:
        bars = with_funding(bars, funding)
    if level is not None:
        bars = with_market(bars, level)
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


def market_level(others: Mapping[str, pl.DataFrame], base: Timeframe, max_fill: int) -> pl.DataFrame | None:
    """The log level of a market in which all symbols weigh the same: ``close_time, market_level``.

    Each base bar it moves by the mean log return of the symbols that have the bar, and it is there where at
    least one of them has. A symbol's move across a hole is booked whole on its first bar after it. Where no
    symbol has a bar the level stays for ``max_fill`` bars, after the last bar of all as well: whether a hole
    will end is not known while it lasts. The level itself means nothing, only its changes do.

    Returns
    -------
    polars.DataFrame
        None if there are no other symbols.

    Raises
    ------
    DataError
        If the bars of a symbol are not of the base timeframe.
    """
    moves = [_moves(symbol, bars, base) for symbol, bars in others.items() if bars.height]
    if not moves:
        return None
    mean = pl.concat(moves).group_by("close_time").agg(pl.col("move").mean()).sort("close_time")
    level = mean.select("close_time", market_level=pl.col("move").fill_null(0.0).cum_sum())
    bar = pl.duration(milliseconds=base.ms)
    staying = [
        level.with_columns((pl.col("close_time") + late * bar).dt.cast_time_unit("ms"), late=pl.lit(late))
        for late in range(max_fill + 1)
    ]
    return (
        pl.concat(staying)
        .sort("close_time", "late")
        .unique("close_time", keep="first")
        .drop("late")
        .sort("close_time")
    )


def _moves(symbol: str, bars: pl.DataFrame, base: Timeframe) -> pl.DataFrame:
    """Log return of every bar since the symbol's last one; null for its first."""
    gaps = bars["close_time"].diff().dt.total_milliseconds().drop_nulls()
    usual = gaps.median() if len(gaps) else base.ms
    if usual != base.ms:
        raise DataError(
            f"bars of {symbol} must be of the base timeframe {base} to be its market, got one every "
            f"{Timeframe(int(usual) // 60_000)}; give bars of {base}"  # type: ignore[arg-type]
        )
    log_close = pl.col("close").log()
    return bars.select("close_time", move=log_close - log_close.shift(1))


def with_market(bars: pl.DataFrame, level: pl.DataFrame) -> pl.DataFrame:
    """Add the market's level at exactly each close, null where the market has no bar then."""
    return bars.join(level, on="close_time", how="left", maintain_order="left")
