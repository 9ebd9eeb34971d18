"""Leaks of tables that are put side by side: by a label, by a date, by a fill."""

from __future__ import annotations

import polars as pl

from polyscale.audit.check import check
from polyscale.audit.museum.exhibit import (
    BARS_PER_DAY,
    BARS_PER_HOUR,
    Exhibit,
    five_minutes,
    funding,
    with_gaps,
)
from polyscale.audit.plan import Plan

_ZONE = "America/New_York"
_HOUR_BEGINS = (pl.col("close_time") - pl.duration(milliseconds=1)).dt.truncate("1h")
_LOCAL = (pl.col("close_time") - pl.duration(milliseconds=1)).dt.convert_time_zone(_ZONE)


def hour_by_label(bars: pl.DataFrame) -> pl.DataFrame:
    """Resample to hours, which are labelled by their left edge, and join by the label."""
    hours = bars.group_by(_HOUR_BEGINS.alias("close_time"), maintain_order=True).agg(
        hour_close=pl.col("close").last()
    )
    return bars.select("close_time").join_asof(hours, on="close_time")


def hour_by_its_close(bars: pl.DataFrame) -> pl.DataFrame:
    """The same, labelled by the right edge, and of whole hours only."""
    return bars.select("close_time").join_asof(_whole_hours(bars), on="close_time")


def hours_with_the_last(bars: pl.DataFrame) -> pl.DataFrame:
    """One row per hour at its newest bar; the hour that is going on is among them."""
    hours = bars.group_by(_HOUR_BEGINS.alias("hour"), maintain_order=True)
    return hours.agg(pl.col("close_time").last(), hour_close=pl.col("close").last()).drop("hour")


def _whole_hours(bars: pl.DataFrame) -> pl.DataFrame:
    ends = (_HOUR_BEGINS + pl.duration(hours=1)).alias("close_time")
    hours = bars.group_by(ends, maintain_order=True).agg(hour_close=pl.col("close").last(), bars=pl.len())
    return hours.filter(pl.col("bars") == BARS_PER_HOUR).drop("bars")


def day_filled_backward(bars: pl.DataFrame) -> pl.DataFrame:
    """The close of the day, joined at midnight, and the holes filled from below."""
    return _at_midnight(bars).with_columns(pl.col("day_close").backward_fill())


def day_filled_forward(bars: pl.DataFrame) -> pl.DataFrame:
    """The same, filled from above."""
    return _at_midnight(bars).with_columns(pl.col("day_close").forward_fill())


def _at_midnight(bars: pl.DataFrame) -> pl.DataFrame:
    midnight = pl.col("close_time").dt.truncate("1d") == pl.col("close_time")
    return bars.select("close_time", day_close=pl.when(midnight).then("close"))


def rate_of_the_period(bars: pl.DataFrame, funding: pl.DataFrame) -> pl.DataFrame:
    """Every bar gets the rate of the eight hours that it lies in; that one is settled at their end."""
    rates = funding.rename({"time": "close_time"})
    return bars.select("close_time").join_asof(rates, on="close_time", strategy="forward")


def rate_that_was_settled(bars: pl.DataFrame, funding: pl.DataFrame) -> pl.DataFrame:
    """Every bar gets the last rate that was settled."""
    rates = funding.rename({"time": "close_time"})
    return bars.select("close_time").join_asof(rates, on="close_time")


def day_by_local_date(bars: pl.DataFrame) -> pl.DataFrame:
    """Days of New York by their date, taken as known when that date is over in UTC."""
    days = _local_days(
        bars, (_LOCAL.dt.date() + pl.duration(days=1)).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
    )
    return bars.select("close_time").join_asof(days, on="close_time")


def day_by_its_own_midnight(bars: pl.DataFrame) -> pl.DataFrame:
    """The same days, known at midnight in New York."""
    days = _local_days(bars, _LOCAL.dt.truncate("1d").dt.offset_by("1d").dt.convert_time_zone("UTC"))
    return bars.select("close_time").join_asof(days, on="close_time")


def _local_days(bars: pl.DataFrame, known: pl.Expr) -> pl.DataFrame:
    days = bars.group_by(known.alias("close_time"), maintain_order=True)
    whole = days.agg(day_close=pl.col("close").last(), bars=pl.len()).filter(pl.col("bars") == BARS_PER_DAY)
    return whole.select(pl.col("close_time").cast(bars.schema["close_time"]), "day_close")


def gap_interpolated(bars: pl.DataFrame) -> pl.DataFrame:
    """Missing bars drawn as a straight line between those around them."""
    return bars.upsample("close_time", every="5m").select("close_time", pl.col("close").interpolate())


def gap_held(bars: pl.DataFrame) -> pl.DataFrame:
    """Missing bars at the last price that was seen."""
    return bars.upsample("close_time", every="5m").select("close_time", pl.col("close").forward_fill())


JOINS = (
    Exhibit(
        "hour joined by its label",
        "an hour labelled 10:00 closes at 11:00; joined by its label it is read from 10:00 on",
        lambda: check(hour_by_label, five_minutes()),
        lambda: check(hour_by_its_close, five_minutes()),
    ),
    Exhibit(
        "unfinished last bar",
        "the last hour of the table is not over; in training it always is, live it never is",
        lambda: check(hours_with_the_last, five_minutes(), plan=Plan(truncations=0)),
        lambda: check(_whole_hours, five_minutes()),
    ),
    Exhibit(
        "backward fill",
        "a hole is filled with the next value, which is not there yet",
        lambda: check(day_filled_backward, five_minutes()),
        lambda: check(day_filled_forward, five_minutes()),
    ),
    Exhibit(
        "funding before its time",
        "a rate is settled at the end of the eight hours that it is charged for",
        lambda: check(rate_of_the_period, five_minutes(), {"funding": funding()}),
        lambda: check(rate_that_was_settled, five_minutes(), {"funding": funding()}),
    ),
    Exhibit(
        "day by local midnight",
        "a day of New York ends at 05:00 UTC in winter; by its date it is read from 00:00 UTC on",
        lambda: check(day_by_local_date, five_minutes()),
        lambda: check(day_by_its_own_midnight, five_minutes()),
    ),
    Exhibit(
        "interpolation across a gap",
        "a straight line to the bar after a gap tells inside the gap where the price will be",
        lambda: check(gap_interpolated, with_gaps()),
        lambda: check(gap_held, with_gaps()),
    ),
)
