import numpy as np
import polars as pl
import pytest

from polyscale.audit import Plan, check_online_fit
from polyscale.market.errors import DataError
from tests.audit.market import five_minutes, found

HORIZON = 12
RNG = np.random.default_rng(3)
BARS = five_minutes(4)
LABELS = BARS.select(
    pl.col("close_time").alias("time"),
    label_end=pl.col("close_time").dt.offset_by(f"{5 * HORIZON}m"),
    x=pl.Series(RNG.normal(size=BARS.height)),
    y=pl.Series(RNG.normal(size=BARS.height)),
)


def mean_of(labels, known):
    """At each time, the mean of the labels that are known by a rule."""
    time, end = (labels[name].dt.epoch("us").to_numpy() for name in ("time", "label_end"))
    y = labels["y"].fill_null(float("nan")).to_numpy()
    index = known(time, end)
    total = np.concatenate([[np.nan], np.cumsum(y)])
    return labels.select("time", "x", mean=pl.Series(total[index] / np.maximum(index, 1)))


def ended(time, end):
    return np.searchsorted(end, time, side="right")


def taken(time, end):
    return np.arange(1, len(time) + 1)


def test_a_fit_on_labels_that_have_ended_is_clean():
    audit = check_online_fit(lambda rows: mean_of(rows, ended), LABELS, known_at_time=["x"])
    assert audit.findings == ()
    assert {scope.of for scope in audit.tests} == {"online fit"}


def test_a_fit_on_labels_that_have_not_ended_is_found():
    leak = found(check_online_fit(lambda rows: mean_of(rows, taken), LABELS, known_at_time=["x"]), "mean")
    assert (leak.source, leak.reach.ms) == ("labels.y", 3_600_000)


def test_labels_that_end_five_minutes_too_early_are_found():
    def nearly(time, end):
        return np.searchsorted(end - 300_000_000, time, side="right")

    leak = found(check_online_fit(lambda rows: mean_of(rows, nearly), LABELS, known_at_time=["x"]), "mean")
    assert leak.reach.ms == 300_000


def test_a_regressor_of_a_later_row_is_found():
    leaks = check_online_fit(
        lambda rows: rows.select("time", x=pl.col("x").shift(-1)), LABELS, known_at_time=["x"]
    )
    assert (found(leaks, "x").source, found(leaks, "x").reach.ms) == ("rows.x", 300_000)


def test_a_column_that_is_not_said_to_be_known_is_a_label():
    leak = found(check_online_fit(lambda rows: rows.select("time", "x"), LABELS), "x")
    assert leak.source == "labels.x"


def test_labels_may_end_in_another_order_than_they_begin():
    mixed = LABELS.with_columns(
        label_end=pl.when(pl.int_range(pl.len()) % 2 == 0)
        .then("label_end")
        .otherwise(pl.col("time").dt.offset_by("1d"))
    )

    def own_label(rows):
        return rows.select(
            "time", own=pl.when(pl.col("label_end") == pl.col("time").dt.offset_by("1h")).then("y")
        )

    audit = check_online_fit(own_label, mixed, plan=Plan(newest_cuts=5))
    assert found(audit, "own").reach.ms == 3_600_000

    def last_hour_that_ended(rows):
        hourly = rows.filter(pl.col("label_end") == pl.col("time").dt.offset_by("1h"))
        known = hourly.select(pl.col("label_end").alias("time"), pl.col("y").alias("own"))
        return rows.select("time").join_asof(known, on="time")

    assert check_online_fit(last_hour_that_ended, mixed).clean


def test_a_fit_that_cannot_do_without_labels_has_refused():
    def strict(rows):
        if rows["y"].null_count():
            raise ValueError("labels are missing")
        return mean_of(rows, taken)

    audit = check_online_fit(strict, LABELS, known_at_time=["x"])
    assert found(audit, "mean").source == "labels.y"
    notes = {scope.test: scope.notes for scope in audit.tests}
    assert "ValueError" in notes["prefix"][0]


def test_pandas_labels_come_as_pandas():
    frame = LABELS.to_pandas()
    assert check_online_fit(lambda rows: rows[["time"]].assign(one=1.0), frame).clean


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS.drop("label_end"), "must have times label_end"),
        (LABELS.with_columns(label_end=pl.lit(None, pl.Datetime("ms", "UTC"))), "must not be null"),
        (
            LABELS.with_columns(label_end=pl.col("time").dt.offset_by("-1m")),
            r"label_end must be >= time, broken in 1,152",
        ),
    ],
)
def test_labels_that_say_not_when_they_end_are_an_error(labels, message):
    with pytest.raises(DataError, match=message):
        check_online_fit(lambda rows: rows, labels)
