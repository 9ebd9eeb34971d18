import numpy as np
import polars as pl
import pytest

from polyscale.audit import Plan
from polyscale.audit.rows import compare, read_rows, typical_sizes
from tests.audit.market import five_minutes

TIMES = five_minutes(1)["close_time"].head(4)


def rows(*values, dtype=None):
    return read_rows(pl.DataFrame({"close_time": TIMES, "x": pl.Series(values, dtype=dtype, strict=False)}))


def moved(before, after, relative=1e-9, dtype=None):
    a, b = rows(*before, dtype=dtype), rows(*after, dtype=dtype)
    return compare(a, b, typical_sizes(a), Plan(relative=relative))


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [
        ((1.0, 2.0, 3.0, 4.0), (1.0, 2.0, 3.0, 4.0 + 1e-10), False),
        ((1.0, 2.0, 3.0, 4.0), (1.0, 2.0, 3.0, 4.0 + 1e-7), True),
        ((1.0, 2.0, 3.0, 0.0), (1.0, 2.0, 3.0, 1e-10), False),  # near zero: held to the column's median, 2
        ((1.0, 2.0, 3.0, 0.0), (1.0, 2.0, 3.0, 1e-8), True),
        ((1e-12, 2e-12, 3e-12, 4e-12), (1e-12, 2e-12, 3e-12, 5e-12), True),  # small is not zero
        ((1e300, 1.0, 1.0, 1.0), (-1e300, 1.0, 1.0, 1.0), True),
        ((1.0, None, float("nan"), 4.0), (1.0, float("nan"), None, 4.0), False),
        ((1.0, None, 3.0, 4.0), (1.0, 2.0, 3.0, 4.0), True),
        ((1.0, 2.0, 3.0, 4.0), (1.0, None, 3.0, 4.0), True),
        ((1.0, 2.0, 3.0, np.inf), (1.0, 2.0, 3.0, np.inf), False),
        ((1.0, 2.0, 3.0, np.inf), (1.0, 2.0, 3.0, -np.inf), True),
        ((1.0, 2.0, 3.0, np.inf), (1.0, 2.0, 3.0, 4.0), True),
        ((True, None, False, True), (True, None, False, True), False),
        ((True, None, False, True), (True, None, True, True), True),
        (("a", "b", None, "d"), ("a", "b", None, "d"), False),
        (("a", "b", None, "d"), ("a", "b", "c", "d"), True),
        ((None, None, None, None), (1.0, None, None, None), True),
        ((None, None, None, None), ("a", None, None, None), True),
        (([1.0], [2.0], [3.0], [4.0]), ([1.0], [2.0], [3.0], [5.0]), True),
    ],
)
def test_what_counts_as_a_difference(before, after, differs):
    assert bool(moved(before, after)) is differs


def test_a_column_may_have_a_tolerance_of_its_own():
    a, b = rows(1.0, 2.0, 3.0, 4.0), rows(1.0, 2.0, 3.0, 4.001)
    assert compare(a, b, {}, Plan())
    assert compare(a, b, {}, Plan(relative_of={"y": 1e-2}))
    assert not compare(a, b, {}, Plan(relative_of={"x": 1e-2}))


def test_the_newest_row_that_moved_is_told():
    (move,) = moved((1.0, 2.0, 3.0, 4.0), (9.0, 2.0, 8.0, 4.0))
    assert (move.before, move.after) == (3.0, 8.0)
    assert move.row == TIMES.dt.epoch("us")[2]


def test_categories_are_compared_by_their_words():
    words = (["b", "a", "b", "a"], ["b", "a", "b", "c"])
    a, b = (rows(*each, dtype=pl.Categorical) for each in words)
    assert [(move.before, move.after) for move in compare(a, b, {}, Plan(relative=0))] == [("a", "c")]


def test_a_column_that_comes_or_goes_is_a_difference():
    a = rows(1.0, 2.0, 3.0, 4.0)
    b = read_rows(pl.DataFrame({"close_time": TIMES, "y": [1.0, 2.0, 3.0, 4.0]}))
    assert [(move.column, move.after) for move in compare(a, b, {}, Plan(relative=0))] == [
        ("x", "no column"),
        ("y", "a column"),
    ]


def test_structs_and_arrays_are_columns_of_their_own():
    frame = pl.DataFrame({"close_time": TIMES, "x": [{"low": 1.0, "high": [2.0, 3.0]}] * 4})
    frame = frame.cast({"x": pl.Struct({"low": pl.Float64, "high": pl.Array(pl.Float64, 2)})})
    assert list(read_rows(frame).columns) == ["x.low", "x.high[0]", "x.high[1]"]


def test_rows_are_sorted_and_those_without_a_time_left_out():
    frame = pl.DataFrame({"close_time": TIMES, "x": [1.0, 2.0, 3.0, 4.0]}).reverse()
    timeless = frame.with_columns(pl.when(pl.col("x") != 2).then("close_time").alias("close_time"))
    np.testing.assert_array_equal(read_rows(timeless).columns["x"], [1.0, 3.0, 4.0])
