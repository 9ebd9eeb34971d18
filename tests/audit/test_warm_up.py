import polars as pl
import pytest

from polyscale.audit import Plan, check
from tests.audit.market import CLOSE, five_minutes, found

BARS = five_minutes()


def column(**expressions):
    return lambda bars: bars.select("close_time", **expressions)


def test_a_value_that_comes_too_early_is_found():
    """A mean of 20 bars that is given from the first bar on is another mean there."""
    finding = found(check(column(x=CLOSE.rolling_mean(20, min_samples=1)), BARS), "x")
    assert finding.test == "warm-up"
    assert "depends on bars before" in str(finding)
    assert (finding.row - finding.cut).total_seconds() < 20 * 300


@pytest.mark.parametrize(
    ("warm_up", "clean"), [(20, True), (19, False), ({"x": 20}, True), ({"y": 20}, False)]
)
def test_a_declared_warm_up_is_held_to_the_bar(warm_up, clean):
    stage = column(x=CLOSE.rolling_mean(20, min_samples=1), y=CLOSE)
    assert check(stage, BARS, warm_up=warm_up).clean is clean


def test_a_value_that_comes_later_than_declared_is_found():
    late = found(check(column(x=CLOSE.rolling_mean(30)), BARS, warm_up=29), "x")
    assert (late.test, late.after) == ("warm-up", None)
    assert check(column(x=CLOSE.rolling_mean(30)), BARS, warm_up=30).clean


def test_a_recursive_mean_is_warm_when_the_rest_is_forgotten():
    stage = column(x=CLOSE.log().diff().ewm_mean(alpha=0.1, adjust=False))
    assert check(stage, BARS, warm_up=260).clean
    assert found(check(stage, BARS, warm_up=60), "x").test == "warm-up"


def test_rows_that_hang_on_the_first_bar_of_all_are_found():
    """Every twelfth row from wherever the bars begin: the phase is an accident of the history."""

    def strided(bars):
        blocks = bars.with_columns(block=pl.int_range(pl.len()) // 12)
        means = blocks.select("close_time", x=CLOSE.mean().over("block")).gather_every(12, 11)
        return bars.select("close_time").join_asof(means, on="close_time")

    audit = check(strided, BARS, warm_up=24, plan=Plan(whole_cuts=0, newest_cuts=0))
    assert found(audit, "x").test == "warm-up"


def test_words_are_compared_too():
    stage = column(x=pl.when(CLOSE.first() < CLOSE).then(pl.lit("up")).otherwise(pl.lit("down")))
    assert isinstance(found(check(stage, BARS), "x").before, str)


def test_a_stage_that_wants_more_history_has_refused():
    def stage(bars):
        if bars["close_time"][0] > BARS["close_time"][0]:
            raise ValueError("history is missing")
        return bars.select("close_time", "close")

    audit = check(stage, BARS)
    assert audit.clean
    assert audit.tests[-1].notes == ("refused 3 times (ValueError)",)
