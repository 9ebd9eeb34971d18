from datetime import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyscale.audit import Plan, check
from polyscale.market.errors import ConfigError, DataError
from tests.audit.market import CLOSE, five_minutes, found, funding_of, without

BARS = five_minutes()
FUNDING = funding_of(BARS)
HOLED = without(without(BARS, 700, 40), 1_500, 3)
HOUR = pl.col("close_time").dt.truncate("1h")
FEW = Plan(whole_cuts=1, newest_cuts=0, truncations=0)


def column(**expressions):
    return lambda bars: bars.select("close_time", **expressions)


def closed_hours(bars):
    hour = (pl.col("close_time") - pl.duration(milliseconds=1)).dt.truncate("1h") + pl.duration(hours=1)
    hours = bars.group_by(hour.alias("close_time"), maintain_order=True).agg(CLOSE.last(), n=pl.len())
    return hours.filter(pl.col("close_time") <= bars["close_time"][-1], pl.col("n") == 12).drop("n")


def with_closed_hours(bars):
    hours = closed_hours(bars).rename({"close": "hour_close"})
    return bars.select("close_time", "close").join_asof(hours, on="close_time")


def with_funding(bars, funding):
    rates = funding.rename({"time": "close_time"})
    return bars.select("close_time").join_asof(rates, on="close_time")


def ewm(bars):
    return bars.select("close_time", slow=CLOSE.ewm_mean(alpha=0.1, adjust=False))


CAUSAL = {
    "rolling": (column(x=CLOSE.rolling_mean(20), y=CLOSE.rolling_std(50), z=CLOSE.rolling_max(30)), {}),
    "difference": (column(x=CLOSE.log().diff(), lag=CLOSE.shift(7)), {}),
    "ewm": (ewm, {"warm_up": {"slow": 220}}),
    "expanding": (column(x=CLOSE.cum_sum() / CLOSE.cum_count()), {"plan": Plan(truncations=0)}),
    "closed hours": (closed_hours, {}),
    "joined hours": (with_closed_hours, {"warm_up": 24}),
    "funding": (with_funding, {"sources": {"funding": FUNDING}}),
    "words": (
        column(side=pl.when(CLOSE.shift(1) < CLOSE).then(pl.lit("up")).otherwise(pl.lit("no"))),
        {"warm_up": 2},
    ),
    "categories": (
        column(x=pl.when(CLOSE > 99).then(pl.lit("a")).otherwise(pl.lit("b")).cast(pl.Categorical)),
        {},
    ),
    "booleans": (column(up=CLOSE.shift(1) < CLOSE), {}),
    "constant": (column(one=pl.lit(1.0), zero=pl.lit(0), none=pl.lit(None)), {}),
    "centred at zero": (column(x=(CLOSE + 1e6) - CLOSE.shift(1) - 1e6), {}),
}


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("bars", [BARS, HOLED], ids=["whole", "holed"])
def test_a_causal_stage_is_clean(name, bars):
    stage, more = CAUSAL[name]
    assert check(stage, bars, **more).findings == ()


LOOKING_AHEAD = {
    "centred": (column(x=CLOSE.rolling_mean(11, center=True)), "bars.close", "25m (5 bars)"),
    "next low": (column(x=pl.col("low").shift(-2)), "bars.low", "10m (2 bars)"),
    "whole mean": (column(x=CLOSE - CLOSE.mean()), "bars.close", "to the end of the data"),
    "both ends": (
        column(x=pl.col("high").shift(-3) - pl.col("low").shift(-5)),
        "bars.high, bars.low",
        "25m (5 bars)",
    ),
    "volume": (column(x=pl.col("volume").sum()), "bars.volume", "to the end of the data"),
    "word": (
        column(x=pl.when(CLOSE.shift(-1) > 500).then(pl.lit("up")).otherwise(pl.lit("no"))),
        "bars.close",
        "5m (1 bar)",
    ),
    "number of bars": (column(x=pl.len() - pl.int_range(pl.len())), "bars", "to the end of the data"),
}


@pytest.mark.parametrize("name", LOOKING_AHEAD)
def test_a_leak_is_located(name):
    stage, source, ahead = LOOKING_AHEAD[name]
    leak = found(check(stage, BARS, plan=Plan(truncations=0)), "x")
    assert (leak.source, str(leak.reach)) == (source, ahead)


@settings(max_examples=25, deadline=None)
@given(bars_ahead=st.integers(1, 60))
def test_the_reach_of_a_shift_is_exact(bars_ahead):
    leak = found(check(column(x=CLOSE.shift(-bars_ahead)), BARS, plan=FEW), "x")
    assert (leak.source, leak.reach.bars, leak.reach.ms) == ("bars.close", bars_ahead, bars_ahead * 300_000)


@settings(max_examples=10, deadline=None)
@given(bars_ahead=st.integers(1, 60), seed=st.integers(0, 9))
def test_a_look_ahead_in_the_last_rows_alone_is_found(bars_ahead, seed):
    """Only where a day turns: three cuts in the middle would miss it."""
    midnight = pl.col("close_time").dt.truncate("1d") == pl.col("close_time")
    stage = column(x=pl.when(midnight).then(CLOSE.shift(-bars_ahead)).otherwise(CLOSE.shift(1)))
    audit = check(stage, BARS, plan=Plan(whole_cuts=0, truncations=0, seed=seed))
    assert found(audit, "x").reach.bars == bars_ahead


def test_a_source_that_is_joined_before_its_time_is_named():
    def stage(bars, funding):
        coming = funding.rename({"time": "close_time"})
        return bars.select("close_time").join_asof(coming, on="close_time", strategy="forward")

    leak = found(check(stage, BARS, {"funding": FUNDING}), "funding_rate")
    assert leak.source == "funding.funding_rate"
    assert 0 < leak.reach.ms <= 8 * 3_600_000


def test_sources_that_matter_only_together_are_named_together():
    def stage(bars, funding):
        changed = (bars["close"][-1] != BARS["close"][-1]) and not funding.equals(FUNDING)
        return bars.select("close_time", x=pl.lit(float(changed)))

    assert found(check(stage, BARS, {"funding": FUNDING}), "x").source == "bars and funding"


def test_columns_that_are_found_at_one_cut_keep_their_own_reach():
    stage = column(**{f"x{k}": CLOSE.shift(-k) for k in (1, 4, 9)})
    audit = check(stage, BARS, plan=FEW)
    assert [found(audit, f"x{k}").reach.bars for k in (1, 4, 9)] == [1, 4, 9]


def test_no_more_columns_are_followed_than_asked():
    audit = check(
        column(a=CLOSE.shift(-1), b=CLOSE.shift(-1)), BARS, plan=FEW.model_copy(update={"locate": 1})
    )
    assert [found(audit, name).source for name in "ab"] == ["bars.close", None]
    assert "knows what comes after 2025-01-0" in str(found(audit, "b"))


def test_rows_that_come_and_go_are_found():
    """The hour that is not over gives a row, which is gone when the hour is over."""

    def hours(bars):
        start = (pl.col("close_time") - pl.duration(milliseconds=1)).dt.truncate("1h")
        return bars.group_by(start.alias("hour"), maintain_order=True).agg(
            pl.col("close_time", "close").last()
        )

    leak = found(check(hours, BARS, plan=Plan(truncations=0)), "close_time")
    assert (leak.test, leak.before, leak.after) == ("rows", "no row", "a row")
    assert (leak.source, leak.reach.bars) == ("bars", 1)


def test_rows_labelled_early_are_called_shifted():
    def early(bars):
        return bars.select(CLOSE, close_time=pl.col("close_time") - pl.duration(minutes=5))

    audit = check(early, BARS, plan=Plan(truncations=0))
    notes = {finding.test: finding.note for finding in audit.findings}
    assert "shifted by -1 bar, before the first one; labelled by the open?" in notes["times out"]
    assert notes["rows"] == "shifted by -1 bar: the newest rows come only with later bars"
    assert found(audit, "close").reach.bars == 1


def test_a_stage_that_refuses_poison_is_tested_by_removal():
    def careful(bars):
        if not bars["close"].is_finite().all() or bars["close"].max() > 1e6:
            raise ValueError("not bars")
        return bars.select("close_time", x=CLOSE.shift(-1))

    audit = check(careful, BARS, plan=Plan(truncations=0))
    refused = {test.test: test.notes for test in audit.tests if test.notes}
    assert refused["poison-nan"] == ("refused 17 times (ValueError)",)
    assert found(audit, "x").source == "bars.close"


def test_a_stage_that_cannot_do_with_fewer_bars_is_an_error():
    def rigid(bars):
        if bars.height != BARS.height:
            raise RuntimeError("I want all of them")
        return bars.select("close_time", "close")

    with pytest.raises(
        DataError, match=r"must run on the [\d,]+ bars up to .* raised RuntimeError: I want all"
    ):
        check(rigid, BARS)


def test_a_stage_that_has_no_rows_yet_may_raise():
    def late(bars):
        if bars.height < 600:
            raise ValueError("too few bars")
        return bars.select("close_time", x=pl.when(pl.int_range(pl.len()) >= 600).then("close"))

    cut = (BARS["close_time"][400], BARS["close_time"][1_000])
    assert check(late, BARS, plan=Plan(whole_cuts=cut)).clean


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (lambda bars: bars.head(0), "at least 1 row on all bars, got 0"),
        (lambda bars: bars.drop("close_time"), r"what the stage gives must have a column close_time"),
        (lambda bars: 3, "must be a polars or pandas DataFrame .* got int"),
        (lambda bars: bars.select("nothing"), "must run on all bars, it raised ColumnNotFoundError"),
        (lambda bars: bars.with_columns(close_time=1), "close_time of what the stage gives must hold times"),
    ],
)
def test_a_stage_that_cannot_be_tested_is_an_error(stage, message):
    with pytest.raises(DataError, match=message):
        check(stage, BARS)


def test_bars_without_a_past_and_a_future_are_an_error():
    with pytest.raises(DataError, match="bars must have >= 2 rows, got 1"):
        check(column(x=CLOSE), BARS.head(1))
    leak = found(check(column(x=CLOSE.shift(-1)), BARS.head(2)), "x")
    assert leak.before is not None


def test_infinities_are_found_and_nan_is_missing():
    stage = column(
        x=1 / (CLOSE - CLOSE), y=pl.when(CLOSE.shift(3).is_null()).then(float("nan")).otherwise(1.0)
    )
    audit = check(lambda bars: stage(bars).with_columns(x=pl.lit(np.inf)), BARS)
    assert [(finding.test, finding.column) for finding in audit.findings] == [("finite", "x")]


def test_a_warm_up_of_no_column_is_refused():
    with pytest.raises(ConfigError, match=r"warm_up must name columns of \['x'\], got \['y'\]"):
        check(column(x=CLOSE), BARS, warm_up={"y": 3})


def test_bar_by_bar_compares_a_step_with_the_whole_run():
    whole = column(x=CLOSE.rolling_mean(20))
    calls = []

    def step(bars, since):
        calls.append(bars.filter(pl.col("close_time") <= since).height)
        return whole(bars).filter(pl.col("close_time") > since)

    audit = check(whole, BARS, newest=step, memory=20)
    assert audit.clean
    assert max(calls) <= 24
    assert next(test for test in audit.tests if test.test == "bar-by-bar").cuts == 40


def test_a_step_that_computes_something_else_is_found():
    other = column(x=CLOSE.rolling_mean(19))
    audit = check(column(x=CLOSE.rolling_mean(20)), BARS, newest=lambda bars, since: other(bars))
    leak = found(audit, "x")
    assert leak.test == "bar-by-bar"
    assert "another one" in leak.note


def test_a_leak_of_a_column_that_begins_late_is_found():
    begun = pl.int_range(pl.len()) > BARS.height - 60
    leak = found(check(column(y=CLOSE, x=pl.when(begun).then(CLOSE.shift(-2))), BARS, plan=FEW), "x")
    assert leak.reach.bars == 2


def test_a_column_that_was_not_tested_is_named():
    begun = pl.int_range(pl.len()) > BARS.height - 3
    audit = check(column(y=CLOSE, x=pl.when(begun).then(CLOSE.shift(-2)), z=None), BARS, plan=FEW)
    assert "no value before any cut, not tested: x, z" in str(audit)


def test_a_stage_that_draws_at_random_is_told_so():
    rng = np.random.default_rng(1)
    stage = lambda bars: bars.select("close_time", x=pl.Series(rng.normal(size=bars.height)))  # noqa: E731
    noisy = found(check(stage, BARS, plan=FEW), "x")
    assert noisy.source is None
    assert noisy.note == "the stage gives another value on the same bars: fix its seed"


def test_a_memory_that_is_too_short_is_found():
    assert found(check(column(x=CLOSE.rolling_mean(20)), BARS, memory=12), "x").test == "bar-by-bar"
    assert check(column(x=CLOSE.rolling_mean(20)), BARS, memory=20).clean


def test_a_leak_is_found_on_pieces_as_on_the_whole():
    few = Plan(whole_cuts=0, truncations=0)
    leak = found(check(column(x=CLOSE.shift(-3) - CLOSE.shift(2)), BARS, memory=10, plan=few), "x")
    assert (leak.source, leak.reach.bars) == ("bars.close", 3)


def test_a_stage_that_cannot_do_with_its_memory_is_an_error():
    def whole(bars):
        if bars.height < 100:
            raise ValueError("too few")
        return bars.select("close_time", x=CLOSE.rolling_mean(20))

    with pytest.raises(DataError, match=r"must run on the 23 bars up to .* raised ValueError: too few"):
        check(whole, BARS, memory=20)


def test_of_two_sources_the_longer_reach_is_told():
    def stage(bars, funding):
        coming = funding.rename({"time": "close_time"})
        rows = bars.select("close_time", x=CLOSE.shift(-200))
        joined = rows.join_asof(coming, on="close_time", strategy="forward")
        return joined.select("close_time", x=pl.col("x") + 1e6 * pl.col("funding_rate"))

    cut = Plan(whole_cuts=(BARS["close_time"][1_000],), newest_cuts=0, truncations=0)
    leak = found(check(stage, BARS, {"funding": FUNDING}, plan=cut), "x")
    assert (leak.source, leak.reach.bars) == ("bars.close, funding.funding_rate", 200)


def test_a_memory_that_is_too_short_hides_no_leak_from_the_search():
    noon = pl.col("close_time").dt.hour() == 12
    stage = column(
        x=CLOSE.rolling_mean(20, min_samples=1) + pl.when(noon).then(CLOSE.shift(-3)).otherwise(0.0)
    )
    audit = check(stage, BARS, memory=12, plan=Plan(whole_cuts=0, newest_cuts=80, truncations=0))
    assert audit.findings[0].test == "bar-by-bar"
    assert (found(audit, "x").source, found(audit, "x").reach.bars) == ("bars.close", 3)


def filled(bars):
    return bars.upsample("close_time", every="5m").select("close_time", CLOSE.interpolate())


def test_an_interpolation_across_a_gap_is_found_on_pieces():
    plan = Plan(whole_cuts=0, truncations=0)
    leak = found(check(filled, HOLED, memory=10, plan=plan), "close")
    assert (leak.test[:6], leak.source) == ("poison", "bars.close")


def test_an_interpolation_across_a_gap_is_found():

    assert check(filled, BARS, plan=Plan(truncations=0)).clean
    assert found(check(filled, HOLED, plan=Plan(truncations=0)), "close").source == "bars.close"


def test_rows_laid_into_gaps_by_what_was_known_are_clean():
    def filled(bars):
        return bars.upsample("close_time", every="5m").select("close_time", CLOSE.forward_fill())

    assert check(filled, HOLED).clean


def test_a_backward_fill_at_the_beginning_is_found():
    stage = column(x=CLOSE.rolling_mean(20).backward_fill())
    assert found(check(stage, BARS), "x").source == "bars.close"


def test_a_stage_that_does_not_read_its_input_is_said_to_be_untested():
    table = BARS.select("close_time", x=CLOSE.shift(-1))
    audit = check(lambda bars: bars.select("close_time").join(table, on="close_time"), BARS)
    assert "but not every column could be tested" in str(audit).splitlines()[0]
    assert "the same whatever the inputs are: all columns" in str(audit)


def test_a_column_that_is_the_same_whatever_the_inputs_are_is_named():
    audit = check(column(x=CLOSE, hour=pl.col("close_time").dt.hour()), BARS)
    assert audit.clean
    assert "the same whatever the inputs are: hour" in str(audit)


def test_values_that_no_cut_can_test_are_no_clean_audit():
    with pytest.raises(DataError, match="must give values before a cut"):
        check(column(x=pl.lit(None, pl.Float64)), BARS)


def test_a_plan_that_tests_nothing_is_refused():
    with pytest.raises(ConfigError, match="nothing would be tested"):
        check(column(x=CLOSE), BARS, plan=Plan(whole_cuts=0, newest_cuts=0, truncations=0))
    with pytest.raises(ConfigError, match="a cut must have bars on both sides"):
        check(column(x=CLOSE), BARS, plan=Plan(whole_cuts=(datetime(2030, 1, 1),)))


def test_what_a_polars_stage_does_in_place_stays_its_own():
    given = BARS.clone()

    def stage(bars):
        bars.insert_column(1, bars["close"].shift(1).alias("before"))
        return bars.select("close_time", "before")

    assert check(stage, given, warm_up=2).clean
    assert given.columns == BARS.columns
