"""A user's file of candles -> checked bars.

In: CSV or Parquet, the timeframe, and whether the file's time is the bar's open or its close: this is asked
and never guessed, since a wrong guess shows every bar one bar too early. Out: `BarFile` with bars of the
contract, known at ``close_time``. Stands at the head of the flow, before the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import polars as pl

from polyscale.exchange.file_numbers import parse_numbers
from polyscale.exchange.file_times import parse_times
from polyscale.exchange.table_file import naming, pick_columns, read_table
from polyscale.market.bars import BAR_SCHEMA, check_bars
from polyscale.market.errors import ConfigError, DataError
from polyscale.market.timeframe import MINUTE_MS, Timeframe

Label = Literal["open", "close"]
_TIME_OF: Final = {"open": "open_time", "close": "close_time"}
_TIMES: Final = ("time", "timestamp", "date", "datetime")
_NUMBERS: Final = tuple(name for name in BAR_SCHEMA if name != "close_time")
_ROWS: Final = "rows count from 0 below the header"


@dataclass(frozen=True, eq=False)
class BarFile:
    """What a file held: its closed bars, and how many rows were left out as unfinished (0 or 1)."""

    bars: pl.DataFrame
    num_unfinished: int


def read_bar_file(
    path: Path | str,
    timeframe: Timeframe,
    label: Label,
    columns: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> BarFile:
    """Read candles from CSV (``.csv``, ``.csv.gz``, ``.txt``) or Parquet and hold them to the contract.

    Rows are neither sorted nor filled nor dropped, but for a last bar that is still open at ``now``: it is
    left out and counted. Gaps are allowed. ``turnover`` may be missing or empty and is null then.

    Parameters
    ----------
    path
        The file. CSV may be cut by comma, semicolon or tab, and must have a header.
    timeframe
        Length of the file's bars; checked against its grid and against the smallest step in the file.
    label
        Whether the file's time is the bar's open or its (exclusive) close.
    columns
        Contract's name (``time``, ``open``, ... ``turnover``) to the file's own. Otherwise the contract's
        names are looked for, case ignored; the time may be called ``open_time``, ``close_time``, ``time``,
        ``timestamp``, ``date`` or ``datetime``.
    now
        Instant at which bars must have closed, with a zone; the current time if absent.

    Raises
    ------
    ConfigError
        For an unknown label or key of ``columns``, and a ``now`` without a zone.
    DataError
        For every way in which a file fails to hold sorted, sound bars of this timeframe; names the file.
    """
    path, now = Path(path), now or datetime.now(UTC)
    if label not in _TIME_OF:
        raise ConfigError(f"label must be 'open' or 'close', got {label!r}; say what the file's time is")
    if now.tzinfo is None:
        raise ConfigError(f"now must have a time zone, got {now}; write it with tzinfo=UTC")
    with naming(path):
        table = read_table(path)
        own = _bar_columns(table, label, columns)
        times = parse_times(table[own["time"]])
        _check_times(times, timeframe, label)
        bars = pl.DataFrame(
            [
                times.dt.offset_by(f"{timeframe.minutes if label == 'open' else 0}m").alias("close_time"),
                *[parse_numbers(table[own[name]]).alias(name) for name in _NUMBERS if name in own],
            ]
        )
        return _closed(bars, timeframe, now)


def _bar_columns(frame: pl.DataFrame, label: Label, columns: Mapping[str, str] | None) -> dict[str, str]:
    """Contract's name to file's name, with the time column that the label speaks of."""
    numbers = {name: (name,) for name in _NUMBERS}
    own = {name.strip().lower() for name in frame.columns}
    times = (_TIME_OF[label],) if _TIME_OF[label] in own else _TIMES
    found = pick_columns(frame, {"time": times, **numbers}, columns)
    other = _TIME_OF["close" if label == "open" else "open"]
    time = found.get("time", other if other in own else "")
    if time.strip().lower() == other:
        raise DataError(
            f"the time column must be the bar's {label}, as the label says, got a column named {time!r}; "
            f"correct the label, or name another column by columns={{'time': ...}}"
        )
    missing = [name for name in ("time", *_NUMBERS) if name not in found and name != "turnover"]
    if missing:
        raise DataError(
            f"must hold candles, missing columns {missing}, found {frame.columns}; if they have other names, "
            f"say so by columns={{{missing[0]!r}: '<its name>'}}; funding rates have an import of their own"
        )
    return found


def _check_times(times: pl.Series, timeframe: Timeframe, label: Label) -> None:
    steps_ms = times.dt.epoch("ms").diff()
    for rule, broken, remedy in [
        ("times must not repeat", steps_ms == 0, "remove the doubled row"),
        ("times must rise", steps_ms < 0, "sort the file by time, oldest first"),
    ]:
        if broken.any():
            row = int(broken.arg_true()[0])
            raise DataError(
                f"{rule}, got {times[row - 1]} and then {times[row]} in row {row} ({_ROWS}); {remedy}"
            )
    smallest_ms = steps_ms.min()
    off_ms = (times.dt.epoch("ms") - timeframe.offset_ms) % timeframe.ms
    if (off_ms != 0).any():
        row = int((off_ms != 0).arg_true()[0])
        raise DataError(
            f"{label} times must lie on the grid of {timeframe}, got {times[row]} in row {row} ({_ROWS}); "
            f"the smallest step in the file is {_length(smallest_ms)}: "
            f"{_off_grid_remedy(smallest_ms, off_ms, timeframe)}"
        )
    if isinstance(smallest_ms, int) and smallest_ms > timeframe.ms:
        raise DataError(
            f"the smallest step between two rows must be the timeframe {timeframe}, got "
            f"{_length(smallest_ms)}; give the timeframe of the file"
        )


def _off_grid_remedy(smallest_ms: object, off_ms: pl.Series, timeframe: Timeframe) -> str:
    if (off_ms == timeframe.ms - 1).all():
        return "closes 1 ms early, as Binance writes them; use the open times with label='open'"
    if smallest_ms == timeframe.ms:
        return "bars must begin on whole steps in UTC; shift the times to UTC, or resample finer bars"
    return "is the timeframe right?"


def _length(step_ms: object) -> str:
    if not isinstance(step_ms, int):
        return "unknown (one row)"
    return f"{step_ms / 1000:g}s" if step_ms % MINUTE_MS else str(Timeframe(step_ms // MINUTE_MS))


def _closed(bars: pl.DataFrame, timeframe: Timeframe, now: datetime) -> BarFile:
    """Leave out a last bar that is still open; bars that have not even begun are an error."""
    unfinished = bars.filter(pl.col("close_time") > now)
    not_begun = unfinished.filter(pl.col("close_time").dt.offset_by(f"-{timeframe.minutes}m") > now)
    if not not_begun.is_empty():
        raise DataError(
            f"bars must have begun by now ({now}), got {not_begun.height} that close from "
            f"{not_begun['close_time'][0]} on; are the times in a local zone, or is the label wrong?"
        )
    closed = bars.head(bars.height - unfinished.height)
    if closed.is_empty():
        raise DataError(f"must hold a closed bar, got only one that is open until {bars['close_time'][0]}")
    try:
        return BarFile(check_bars(closed, timeframe), unfinished.height)
    except DataError as error:
        raise DataError(f"{error} ({_ROWS}); correct the file") from error
