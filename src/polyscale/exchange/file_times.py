"""Times as files write them -> ``Datetime("ms", "UTC")``.

In: a column of epochs, dates, times with or without a zone, or ISO text of these. Out: the same instants
in UTC, in the same order. A column must speak one language: one unit, one offset. What cannot be known
(rows with different offsets, an epoch that fits no unit) is refused and never guessed.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from polyscale.market.bars import TIME
from polyscale.market.errors import DataError

_SINCE_S, _UNTIL_S = 946_684_800, 4_102_444_800  # 2000-01-01 and 2100-01-01
_UNITS: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # a factor of 1000 apart: no overlap
_EPOCH: Final = r"^\d+(\.0*)?$"
_ISO: Final = (
    r"^(?<day>(19|20)\d\d-\d\d-\d\d)"
    r"([T ](?<minute>\d\d:\d\d)(?<second>:\d\d)?(?<fraction>\.\d{1,9})?)?"
    r" ?(?<zone>Z|UTC|[+-]\d\d(:?\d\d)?)?$"
)


def parse_times(values: pl.Series) -> pl.Series:
    """Return the column as instants in UTC, to the millisecond.

    Numbers are epochs; their unit (s, ms, us, ns) is the one that puts every row between 2000 and 2100.
    Times with a zone are converted. Times **without any zone in any row are taken as UTC**. Text with
    offsets must have the same offset in every row.

    Raises
    ------
    DataError
        For null, text that is no ISO time, mixed zones or offsets, an epoch outside of 2000..2100, a time
        that is no whole number of milliseconds.
    """
    _refuse(values, values.is_null(), "must not be empty", "correct the row")
    dtype = values.dtype
    if dtype == pl.String:
        text = values.str.strip_chars(" \t")
        return _from_epoch_text(text) if text.str.contains(_EPOCH).any() else _from_iso(text)
    if dtype.is_integer() or dtype.is_float():
        return _from_epoch(values)
    if dtype == pl.Date or isinstance(dtype, pl.Datetime):
        return _to_ms(values.cast(pl.Datetime("ms")) if dtype == pl.Date else values)
    raise DataError(
        f"column {values.name!r} must hold times (ISO text, a datetime or an epoch), got {dtype}; convert it"
    )


def _from_epoch_text(text: pl.Series) -> pl.Series:
    _refuse(text, ~text.str.contains(_EPOCH), "must be an epoch in every row or in none", "write one kind")
    whole = text.str.replace(r"\.0*$", "").cast(pl.Int64, strict=False)
    _refuse(text, whole.is_null(), "must be an epoch between 2000 and 2100", "correct the row")
    return _from_epoch(whole)


def _from_epoch(values: pl.Series) -> pl.Series:
    whole = values.cast(pl.Int64, strict=False)
    _refuse(values, ~(whole == values).fill_null(False), "must be a whole number", "correct the row")
    for unit, per_s in _UNITS.items():
        fits = whole.is_between(_SINCE_S * per_s, _UNTIL_S * per_s, closed="left")
        if fits[0]:
            _refuse(values, ~fits, f"must be an epoch in {unit} like row 0, 2000 to 2100", "correct the row")
            return _to_ms((whole * (10**9 // per_s)).cast(pl.Datetime("ns")))
    rule = "must be an epoch in s, ms, us or ns between 2000 and 2100"
    _refuse(values, values.is_not_null(), rule, "convert the column to UTC")
    raise AssertionError("a column without rows has been refused before")


def _from_iso(text: pl.Series) -> pl.Series:
    parts = text.str.extract_groups(_ISO).struct.unnest()
    rule = "must be ISO text such as 2024-01-31 23:59:00+00:00, years 1900 to 2099"
    _refuse(text, parts["day"].is_null(), rule, "convert the column")
    _refuse_mixed_zones(text, parts["zone"])
    clock = pl.concat_str(
        "day",
        pl.lit(" "),
        pl.col("minute").fill_null("00:00"),
        pl.col("second").fill_null(":00"),
        pl.col("fraction").fill_null(".0"),
        pl.col("zone").pipe(_offset).fill_null("+0000"),
    )
    stamp = pl.col("stamp").str.to_datetime("%Y-%m-%d %H:%M:%S%.f%z", time_unit="ns", strict=False)
    times = parts.select(stamp=clock).select(stamp).to_series()
    _refuse(text, times.is_null(), "must be a date and time that exist", "correct the row")
    return _to_ms(times.alias(text.name))


def _offset(zone: pl.Expr) -> pl.Expr:
    """Every way to write an offset as ``+hhmm``; Z and UTC are +0000."""
    digits = zone.str.replace("^(Z|UTC)$", "+0000").str.replace(":", "", literal=True).str.pad_end(5, "0")
    return digits.str.replace("-0000", "+0000", literal=True)


def _refuse_mixed_zones(text: pl.Series, zone: pl.Series) -> None:
    offsets = pl.select(_offset(pl.lit(zone)).fill_null("none")).to_series()
    other = offsets != offsets[0]
    if other.any():
        row = int(other.arg_true()[0])
        raise DataError(
            f"column {text.name!r} must not mix time zones, got {text[0]!r} in row 0 and {text[row]!r} in "
            f"row {row}; write every time in UTC"
        )


def _to_ms(times: pl.Series) -> pl.Series:
    """Naive times are UTC; a fraction of a millisecond is refused, since cutting it would be silent."""
    is_zoned = isinstance(times.dtype, pl.Datetime) and times.dtype.time_zone is not None
    zoned = times.dt.convert_time_zone("UTC") if is_zoned else times.dt.replace_time_zone("UTC")
    exact = zoned.cast(TIME)
    _refuse(times, exact.cast(zoned.dtype) != zoned, "must be whole milliseconds", "round the times")
    return exact


def _refuse(values: pl.Series, broken: pl.Series, rule: str, remedy: str) -> None:
    if broken.any():
        row = int(broken.arg_true()[0])
        raise DataError(
            f"column {values.name!r} {rule}, got {str(values[row])!r} in row {row} ({broken.sum()} such "
            f"rows; rows count from 0 below the header); {remedy}"
        )
