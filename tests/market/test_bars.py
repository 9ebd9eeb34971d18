import polars as pl
import pytest

from polyscale.market.bars import BAR_SCHEMA, check_bars, check_funding
from polyscale.market.errors import DataError
from polyscale.market.timeframe import Timeframe

FRAME = Timeframe(15)


def test_good_bars_pass_unchanged(bars):
    assert check_bars(bars, FRAME).equals(bars)


def test_turnover_may_be_missing(bars):
    checked = check_bars(bars.drop("turnover"), FRAME)
    assert checked.schema == BAR_SCHEMA
    assert checked["turnover"].null_count() == bars.height


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("close", float("nan"), "close must be a finite number"),
        ("open", float("inf"), "open must be a finite number"),
        ("low", None, "low must be a finite number"),
        ("open", -1.0, "open must be > 0"),
        ("volume", -1.0, "volume must be >= 0"),
        ("high", 0.01, "high must be >= open"),
        ("low", 1e6, "high must be >= open, close and low"),
    ],
)
def test_a_broken_number_is_named_with_its_row(bars, column, value, rule):
    changed = (
        pl.when(pl.int_range(pl.len()) == 7).then(pl.lit(value, pl.Float64)).otherwise(column).alias(column)
    )
    with pytest.raises(DataError, match=rule) as caught:
        check_bars(bars.with_columns(changed), FRAME)
    assert "row 7" in str(caught.value)


def test_unsorted_doubled_and_off_grid_times_are_refused(bars):
    with pytest.raises(DataError, match="must rise"):
        check_bars(bars.reverse(), FRAME)
    with pytest.raises(DataError, match="must not repeat"):
        check_bars(pl.concat([bars.head(2), bars.slice(1, 2)]), FRAME)
    with pytest.raises(DataError, match="grid of 1h"):
        check_bars(bars, Timeframe(60))


def test_missing_columns_and_wrong_types_are_named(bars):
    with pytest.raises(DataError, match=r"missing \['close'\]"):
        check_bars(bars.drop("close"), FRAME)
    with pytest.raises(DataError, match="volume"):
        check_bars(bars.with_columns(pl.col("volume").cast(pl.Int64)), FRAME)


def test_funding_must_rise_and_be_finite(bars):
    funding = bars.head(5).select(time="close_time", funding_rate=pl.lit(1e-4))
    assert check_funding(funding).equals(funding)
    with pytest.raises(DataError, match="must rise"):
        check_funding(funding.reverse())
    with pytest.raises(DataError, match="finite"):
        check_funding(funding.with_columns(funding_rate=pl.lit(float("nan"))))
