"""The contract of bars: closed candles, one row each, known at ``close_time``.

In: a polars frame that claims to hold bars. Out: the same rows in the contract's columns and types, or a
`DataError` that names the first row that breaks a rule. Everything right of this door trusts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from polyscale.market.errors import DataError
from polyscale.market.timeframe import Timeframe

TIME: Final = pl.Datetime("ms", "UTC")
BAR_SCHEMA: Final = pl.Schema(
    {
        "close_time": TIME,  # open time + timeframe, exclusive end; the bar may be used from here on
        "open": pl.Float64(),
        "high": pl.Float64(),
        "low": pl.Float64(),
        "close": pl.Float64(),
        "volume": pl.Float64(),  # base coin
        "turnover": pl.Float64(),  # quote coin, may be null
    }
)
FUNDING_SCHEMA: Final = pl.Schema({"time": TIME, "funding_rate": pl.Float64()})  # fraction paid by longs
_NUMBERS = ("open", "high", "low", "close", "volume")
_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class Market:
    """Whose bars they are: a venue, its category and a symbol."""

    venue: str
    category: str
    symbol: str

    def __str__(self) -> str:
        return f"{self.venue}/{self.category}/{self.symbol}"


def check_bars(frame: pl.DataFrame, timeframe: Timeframe) -> pl.DataFrame:
    """Return the frame in the contract's column order, or say which row breaks which rule.

    Parameters
    ----------
    frame
        Columns of `BAR_SCHEMA`; ``turnover`` may be missing and is null then. Other columns are dropped.
    timeframe
        Every ``close_time`` must lie on its grid.

    Raises
    ------
    DataError
        For missing columns, wrong types, unsorted or doubled times, times off the grid, numbers that are
        not finite, prices <= 0, negative volume, low above or high below open or close.
    """
    if "turnover" not in frame.columns:
        frame = frame.with_columns(turnover=pl.lit(None, pl.Float64))
    missing = [name for name in BAR_SCHEMA if name not in frame.columns]
    if missing:
        raise DataError(f"bars must have the columns {list(BAR_SCHEMA)}, missing {missing}")
    frame = frame.select(list(BAR_SCHEMA))
    wrong = {name: str(got) for name, got in frame.schema.items() if got != BAR_SCHEMA[name]}
    if wrong:
        raise DataError(f"bars must have the types {dict(BAR_SCHEMA)}, got {wrong}; cast them first")
    for rule, broken in _rules(timeframe):
        _raise_at_first(frame, rule, broken)
    return frame


def _rules(timeframe: Timeframe) -> list[tuple[str, pl.Expr]]:
    time, low, high = pl.col("close_time"), pl.col("low"), pl.col("high")
    off_grid = (time.dt.epoch("ms") - timeframe.offset_ms) % timeframe.ms != 0
    return [
        ("close_time must not be null", time.is_null()),
        ("close_time must not repeat", time == time.shift(1)),
        ("close_time must rise", time < time.shift(1)),
        (f"close_time must lie on the grid of {timeframe}", off_grid),
        *[
            (f"{name} must be a finite number", ~pl.col(name).is_finite().fill_null(False))
            for name in _NUMBERS
        ],
        ("turnover must be finite or null", ~pl.col("turnover").is_finite().fill_null(True)),
        *[(f"{name} must be > 0", pl.col(name) <= 0) for name in _PRICES],
        ("volume must be >= 0", pl.col("volume") < 0),
        ("high must be >= open, close and low", high < pl.max_horizontal("open", "close", "low")),
        ("low must be <= open, close and high", low > pl.min_horizontal("open", "close", "high")),
    ]


def _raise_at_first(frame: pl.DataFrame, rule: str, broken: pl.Expr) -> None:
    rows = frame.with_row_index("row").filter(broken)
    if not rows.is_empty():
        row = rows.row(0, named=True)
        where = row.pop("row")
        values = {name: str(value) if name == "close_time" else value for name, value in row.items()}
        raise DataError(
            f"bars: {rule}; broken in {rows.height} of {frame.height} rows, first in row {where}: {values}"
        )


def check_funding(frame: pl.DataFrame) -> pl.DataFrame:
    """Return funding rates in the contract's columns, sorted rows required.

    Raises
    ------
    DataError
        For missing columns, wrong types, unsorted or doubled times, rates that are not finite.
    """
    missing = [name for name in FUNDING_SCHEMA if name not in frame.columns]
    if missing:
        raise DataError(f"funding must have the columns {list(FUNDING_SCHEMA)}, missing {missing}")
    frame = frame.select(list(FUNDING_SCHEMA))
    if frame.schema != FUNDING_SCHEMA:
        raise DataError(f"funding must have the types {dict(FUNDING_SCHEMA)}, got {dict(frame.schema)}")
    time = pl.col("time")
    for rule, broken in [
        ("time must not be null", time.is_null()),
        ("time must rise and not repeat", time <= time.shift(1)),
        ("funding_rate must be a finite number", ~pl.col("funding_rate").is_finite().fill_null(False)),
    ]:
        rows = frame.with_row_index("row").filter(broken)
        if not rows.is_empty():
            raise DataError(f"funding: {rule}; broken in {rows.height} rows, first {rows.row(0, named=True)}")
    return frame
