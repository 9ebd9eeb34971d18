import pandas as pd
import polars as pl
import pytest

from polyscale.audit import Plan, check
from polyscale.market.errors import DataError
from tests.audit.market import five_minutes, found, funding_of

BARS = five_minutes()
FUNDING = funding_of(BARS)
COLUMN = BARS.to_pandas()
INDEX = COLUMN.set_index("close_time").rename_axis("time")
NAIVE = INDEX.tz_localize(None).rename_axis(None)
FEW = Plan(truncations=0)


def test_a_pandas_stage_gets_and_gives_frames_with_an_index():
    seen = []

    def stage(bars, funding):
        seen.append((type(bars.index).__name__, bars.index.name, str(bars.index.tz), funding.index.name))
        rate = funding["funding_rate"].reindex(bars.index, method="ffill")
        return pd.DataFrame({"x": bars["close"].rolling(20).mean(), "rate": rate})

    funding = FUNDING.to_pandas().set_index("time")
    assert check(stage, INDEX, {"funding": funding}).clean
    assert set(seen) == {("DatetimeIndex", "time", "UTC", "time")}


def test_a_pandas_stage_gets_times_without_a_zone_back_without_one():
    seen = []

    def stage(bars):
        seen.append((bars.index.name, bars.index.tz))
        return bars[["close"]].shift(-2)

    leak = found(check(stage, NAIVE), "close")
    assert set(seen) == {(None, None)}
    assert (leak.source, leak.reach.bars, leak.row.tzname()) == ("bars.close", 2, "UTC")


def test_a_pandas_stage_may_keep_its_times_in_a_column():
    def stage(bars):
        return bars[["close_time"]].assign(x=bars["close"].rolling(11, center=True).mean())

    assert found(check(stage, COLUMN, plan=FEW), "x").reach.bars == 5


def test_a_series_is_a_column():
    leak = found(check(lambda bars: bars["close"].shift(-1).rename("x"), INDEX, plan=FEW), "x")
    assert leak.reach.bars == 1
    assert (
        found(check(lambda bars: bars["close"].shift(-1).rename(None), INDEX, plan=FEW), "value").reach.bars
        == 1
    )


def test_a_stage_may_take_one_kind_and_give_the_other():
    def stage(bars):
        return pl.from_pandas(bars.reset_index()).select(pl.col("time").alias("close_time"), "close")

    assert check(stage, INDEX).clean


def test_nan_of_pandas_is_missing_and_may_come_and_go_with_null():
    assert check(lambda bars: bars[["close"]].shift(5).astype(object), INDEX).clean


def test_a_stage_may_change_its_frame_in_place():
    def stage(bars):
        bars["x"] = bars["close"].rolling(5).mean()
        bars["close"] *= 2
        return bars[["x", "close"]]

    before = INDEX.copy()
    assert check(stage, INDEX).clean
    pd.testing.assert_frame_equal(INDEX, before)


def test_what_is_no_frame_of_times_is_refused():
    with pytest.raises(
        DataError, match=r"bars must be a polars or pandas DataFrame with close_time, got dict"
    ):
        check(lambda bars: bars, {"close": [1.0]})
    with pytest.raises(DataError, match=r"funding must have a column close_time or time .* got \['when'\]"):
        check(lambda bars, funding: bars, BARS, {"funding": FUNDING.select(when="time")})
    with pytest.raises(DataError, match="close_time of bars must hold times, got Int64; cast it first"):
        check(lambda bars: bars, BARS.with_columns(pl.col("close_time").dt.epoch("ms")))
