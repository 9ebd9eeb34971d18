"""The holes in a series of bars, and why they are there.

A hole is a bar of the grid that is not stored. The ledger says of runs of bars that the exchange was asked
for them and has none, and why; what it does not speak of was not fetched.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.market.bars import TIME
from polyscale.market.timeframe import Timeframe


class GapKind(StrEnum):
    """Why a bar is not there."""

    NOT_FETCHED = "not fetched"  # nobody has asked the exchange, or it did not answer
    PRE_LISTING = "pre-listing"  # the market did not trade yet
    OUTAGE = "outage"  # the exchange has no bars of its main markets either
    HALTED = "halted"  # the exchange was working, this market was not
    ABSENT = "absent"  # the exchange has none, and nothing says why
    QUARANTINED = "quarantined"  # a bar came and broke a rule


_CODES: Final = {kind: code for code, kind in enumerate(GapKind)}
_STORED: Final = -1
GAP_SCHEMA: Final = pl.Schema(
    {"first_close_time": TIME, "last_close_time": TIME, "missing_bars": pl.Int64(), "kind": pl.String()}
)


def gaps_in(
    close_times: pl.Series, ledger: pl.DataFrame, timeframe: Timeframe, first: int, last: int
) -> pl.DataFrame:
    """List the runs of missing bars between two close times, one row per run of one kind.

    Parameters
    ----------
    close_times
        Of the stored bars, sorted and unique, on the grid of the timeframe.
    ledger
        Runs that the exchange does not have: ``first_close_time``, ``last_close_time``, ``asked_time``,
        ``kind``. Where runs overlap, what was asked last holds.
    first, last
        Close times in ms, on the grid, both included.

    Returns
    -------
    polars.DataFrame
        `GAP_SCHEMA`: close times of the first and the last missing bar, how many, and a `GapKind`.
    """
    codes = _codes(close_times, ledger, timeframe, first, last)
    edges = np.flatnonzero(np.diff(codes)) + 1
    begins = np.concatenate([[0], edges]).astype(np.int64)[: len(codes)]
    ends = np.concatenate([edges, [len(codes)]]).astype(np.int64)[: len(begins)] - 1
    missing = codes[begins] != _STORED
    begins, ends = begins[missing], ends[missing]
    kinds = list(GapKind)
    return pl.DataFrame(
        {
            "first_close_time": first + begins * timeframe.ms,
            "last_close_time": first + ends * timeframe.ms,
            "missing_bars": ends - begins + 1,
            "kind": [kinds[code].value for code in codes[begins]],
        }
    ).select(_typed(name, kind) for name, kind in GAP_SCHEMA.items())


def _codes(
    close_times: pl.Series, ledger: pl.DataFrame, timeframe: Timeframe, first: int, last: int
) -> NDArray[np.int8]:
    """One code per bar of the grid: stored, or a kind of gap."""
    codes = np.full(max((last - first) // timeframe.ms + 1, 0), _CODES[GapKind.NOT_FETCHED], np.int8)
    runs = ledger.sort("asked_time", maintain_order=True).select(
        pl.col("first_close_time", "last_close_time").dt.epoch("ms"), "kind"
    )
    for begin_ms, end_ms, kind in runs.iter_rows():
        begin, end = (begin_ms - first) // timeframe.ms, (end_ms - first) // timeframe.ms + 1
        codes[max(begin, 0) : max(end, 0)] = _CODES[GapKind(kind)]
    stored = (close_times.dt.epoch("ms").to_numpy() - first) // timeframe.ms
    codes[stored[(stored >= 0) & (stored < len(codes))]] = _STORED
    return codes


def _typed(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    return column.cast(pl.Datetime("ms")).dt.replace_time_zone("UTC") if kind == TIME else column.cast(kind)
