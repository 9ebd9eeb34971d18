from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyscale.market.errors import ConfigError, DataError
from polyscale.market.timeframe import Timeframe
from polyscale.scales.align import age, align
from polyscale.scales.grid import to_grid
from polyscale.scales.ladder import build_scales
from polyscale.scales.resample import prepend_native, resample
from polyscale.scales.settings import ScaleSettings
from tests.oracles.slow_stages import slow_resample

M1, M5, H1, D1, W1 = (Timeframe.parse(text) for text in ("1m", "5m", "1h", "1d", "1w"))


def without(bars, start, count):
    return pl.concat([bars.head(start), bars.slice(start + count)])


def test_resample_equals_the_definition(minute_bars):
    rows = minute_bars.with_columns(close_ms=pl.col("close_time").dt.epoch("ms")).to_dicts()
    expected = slow_resample(rows, 1, 60)
    found = resample(minute_bars, M1, H1)
    assert found["close_time"].dt.epoch("ms").to_list() == [row["close_ms"] for row in expected]
    for name in ("open", "high", "low", "close"):
        assert found[name].to_list() == [row[name] for row in expected]
    np.testing.assert_allclose(found["volume"], [row["volume"] for row in expected], rtol=1e-12)


def test_resample_drops_the_unfinished_bar(minute_bars):
    assert resample(minute_bars.head(119), M1, H1).height == 1
    assert resample(minute_bars.head(120), M1, H1).height == 2


@settings(deadline=None, max_examples=25)
@given(start=st.integers(1, 2_000), count=st.integers(0, 400))
def test_two_steps_equal_one_whatever_is_missing(minute_bars, start, count):
    holed = without(minute_bars, start, count)
    direct = resample(holed, M1, H1)
    by_five = resample(resample(holed, M1, M5), M5, H1)
    shared = direct.join(by_five, on="close_time", suffix="_2")
    assert shared.height >= direct.height - 1
    for name in ("open", "high", "low", "close"):
        assert shared[name].equals(shared[f"{name}_2"].alias(name))
    np.testing.assert_allclose(shared["coverage"], shared["coverage_2"], rtol=1e-12)


def test_volume_is_conserved(minute_bars):
    whole_hours = minute_bars.head(60 * 50)
    np.testing.assert_allclose(
        resample(whole_hours, M1, H1)["volume"].sum(), whole_hours["volume"].sum(), rtol=1e-12
    )


def test_weeks_end_on_monday_midnight(bars):
    weeks = resample(bars, Timeframe(15), W1)
    assert weeks["close_time"].dt.weekday().unique().to_list() == [1]
    assert weeks["close_time"].dt.hour().unique().to_list() == [0]


def test_resample_refuses_what_is_no_multiple(minute_bars):
    with pytest.raises(ConfigError, match="7m must be a whole multiple of 5m"):
        resample(minute_bars, M5, Timeframe(7))


def test_a_gap_is_null_rows_on_the_grid(minute_bars):
    holed = to_grid(without(minute_bars, 100, 7), M1)
    assert holed.height == minute_bars.height
    assert holed["close"].is_null().sum() == 7
    assert holed["close_time"].equals(minute_bars["close_time"])


def test_only_the_first_missing_bars_of_a_gap_are_filled_and_flat(minute_bars):
    filled = to_grid(without(minute_bars, 100, 7), M1, max_fill=3)
    assert filled["close"].is_null().to_list()[100:107] == [False] * 3 + [True] * 4
    assert filled["high"][101] == filled["low"][101] == filled["close"][99]
    assert filled["volume"][101] == 0


def test_thinly_covered_coarse_bars_are_masked(minute_bars):
    scales = build_scales(
        without(minute_bars, 130, 20),
        M1,
        [ScaleSettings(timeframe=t, lookback=5) for t in (M1, H1)],
        max_fill=0,
    )
    assert scales[1].bars["close"].is_null().to_list()[:4] == [False, False, True, False]


def test_align_takes_the_last_row_that_has_closed():
    close = np.array([60, 120, 180]) * 60_000
    origin = np.array([59, 60, 61, 119, 120, 500]) * 60_000
    index = align(origin, close)
    assert index.tolist() == [-1, 0, 0, 0, 1, 2]
    np.testing.assert_allclose(age(origin, close, index, 3_600_000), [1, 0, 1 / 60, 59 / 60, 0, 1])


def test_native_history_lengthens_a_scale_where_the_overlap_agrees(bars):
    recent = bars.filter(pl.col("close_time") > bars["close_time"][0] + timedelta(days=20))
    native = resample(bars, Timeframe(15), D1).drop("coverage", "filled")
    joined = prepend_native(resample(recent, Timeframe(15), D1), native, D1)
    assert joined.height > resample(recent, Timeframe(15), D1).height + 15
    assert joined["close"].to_list()[:-1] == native["close"].to_list()[: joined.height - 1]


def test_native_history_of_another_market_is_refused(bars):
    native = resample(bars, Timeframe(15), D1).drop("coverage", "filled")
    other = native.with_columns(pl.col("high") * 1.001)
    with pytest.raises(DataError, match="high differs in"):
        prepend_native(resample(bars, Timeframe(15), D1), other, D1)
    with pytest.raises(DataError, match=r"native history of 1d needs >= 3 .* found 0: stored .* resampled"):
        prepend_native(
            resample(bars, Timeframe(15), D1),
            native.with_columns(pl.col("close_time") - pl.duration(days=90)),
            D1,
        )


def test_bars_that_were_filled_in_are_no_evidence_against_native_history(bars):
    """A missing base bar makes its day differ from the native one; the other days still prove the market."""
    holed = without(bars, 2_000, 1)
    native = {D1: resample(bars, Timeframe(15), D1).drop("coverage", "filled")}
    wanted = [
        ScaleSettings(timeframe="15m", lookback=3),
        ScaleSettings(timeframe="1d", lookback=3, native_history=True),
    ]
    assert build_scales(holed, Timeframe(15), wanted, 3, native)[1].bars.height == bars.height // 96


def test_native_history_that_is_configured_and_absent_is_told(bars):
    wanted = [
        ScaleSettings(timeframe="15m", lookback=3),
        ScaleSettings(timeframe="1d", lookback=3, native_history=True),
    ]
    with pytest.raises(ConfigError, match=r"scale 1d has native_history and needs native bars"):
        build_scales(bars, Timeframe(15), wanted, 3)


@pytest.mark.parametrize("kept", [1_000, 1_990, 2_010, 2_020, 2_100])
def test_no_scale_knows_its_future_across_a_long_hole(bars, kept):
    holed = without(bars, 2_000, 20)
    wanted = [ScaleSettings(timeframe=t, lookback=3) for t in ("15m", "1h", "4h")]
    prefix = build_scales(holed.head(kept), Timeframe(15), wanted, 2)
    for part, whole in zip(prefix, build_scales(holed, Timeframe(15), wanted, 2), strict=True):
        known = whole.bars.filter(pl.col("close_time") <= holed["close_time"][kept - 1])
        assert part.bars.equals(known)


def test_a_coarse_bar_is_over_though_its_last_fine_bars_are_missing(minute_bars):
    holed = without(minute_bars.head(123), 115, 5)
    hours = build_scales(holed, M1, [ScaleSettings(timeframe=t, lookback=1) for t in (M1, M5, H1)], 0)[2]
    assert hours.bars["close_time"].to_list() == minute_bars["close_time"].gather([59, 119]).to_list()
    assert hours.bars["close"].null_count() == 0


@pytest.mark.parametrize("start", [61, 70, 83, 97, 114])
def test_a_scale_between_moves_no_mask_at_the_threshold_of_coverage(minute_bars, start):
    """Six of sixty minutes are missing: exactly nine tenths are there."""
    holed = without(minute_bars, start, 6)
    direct, chained = (
        build_scales(holed, M1, [ScaleSettings(timeframe=t, lookback=1) for t in frames], 0)[-1].bars
        for frames in ((M1, H1), (M1, M5, H1))
    )
    assert direct["close"].to_list() == chained["close"].to_list()
    assert direct["close"].null_count() == 0


def test_grids_that_do_not_nest_are_refused():
    assert not Timeframe.parse("7h").divides(W1)
    assert not Timeframe.parse("3d").divides(Timeframe.parse("3w"))
    assert D1.divides(W1)
    assert W1.divides(Timeframe.parse("2w"))
