"""Frames of features of one's own: rows lie on their grid, known at their close, and do not grow stale."""

import numpy as np
import pandas as pd
import pytest

from polyscale.chapter import create_multi_scale_features, make_windows
from polyscale.chapter.windows import per_scale
from polyscale.market.errors import ConfigError, DataError, HistoryError
from tests.chapter.candles import LOOKBACK, klines, windows


def cut(change=lambda f: f, **words):
    candles = klines(12, "5")
    features = create_multi_scale_features(candles, list(LOOKBACK))
    return make_windows({name: change(frame) for name, frame in features.items()}, candles, LOOKBACK, **words)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f.iloc[::-1], "the index of 5min must rise, broken in row 1"),
        (lambda f: pd.concat([f.iloc[:9], f.iloc[8:]]), "the index of 5min must rise, broken in row 9"),
        (lambda f: f.rename_axis("timestamp"), "must be named close_time .* got the name 'timestamp'"),
        (lambda f: f.set_axis(f.index + pd.Timedelta("1min")), "of 5min must lie on its grid, "),
        (lambda f: f.assign(word="dear"), "features of 5min must be numbers"),
        (lambda f: f[[]], "must be a pandas.DataFrame with columns, got no column"),
        (lambda f: f.to_numpy(), "must be a pandas.DataFrame with columns, got ndarray"),
        (lambda f: f.reset_index(drop=True), "must be times .* got RangeIndex"),
    ],
)
def test_frames_that_are_no_features_are_refused(change, says):
    with pytest.raises(DataError, match=says):
        cut(change)


@pytest.mark.parametrize(("given", "found"), [({}, "none"), ([1], "list"), (None, "NoneType")])
def test_features_are_a_dict_of_frames(given, found):
    with pytest.raises(DataError, match=f"features must be a dict .* got {found}"):
        make_windows(given, klines(12, "5"), 8)


def test_rows_that_were_dropped_are_missing_and_shift_no_other():
    holed = cut(lambda f: f.drop(f.index[700:710]))
    whole = cut()
    assert len(holed) == len(whole) - 10
    at = whole.close_time.isin(holed.close_time)
    for scale, x in holed.X.items():
        there = np.isfinite(x)
        np.testing.assert_array_equal(x[there], whole.X[scale][at][there])
    assert (~np.isfinite(holed.X["5min"])).sum() > (~np.isfinite(whole.X["5min"][at])).sum()


def test_no_window_is_made_of_rows_that_have_ended():
    made = cut(lambda f: f.iloc[:1_000])
    ends = {
        name: frame.index[:1_000][-1]
        for name, frame in create_multi_scale_features(klines(12, "5"), list(LOOKBACK)).items()
    }
    assert made.close_time[-1] == ends["5min"]


def test_a_coarse_scale_whose_rows_have_ended_is_missing():
    candles = klines(12, "5")
    features = create_multi_scale_features(candles, list(LOOKBACK))
    features["1H"] = features["1H"].iloc[:100]
    made = make_windows(features, candles, LOOKBACK)
    last = features["1H"].index[-1]
    known = np.isfinite(made.X["1H"][:, -1]).all(axis=1)
    hours = made.close_time[known]
    assert hours[-1] == last + pd.Timedelta("55min")  # the newest row of an hour is its row until the next
    assert np.isnan(made.X["1H"][np.asarray(made.close_time > hours[-1])]).all()


def test_the_finest_scale_says_where_the_origins_are_wherever_it_stands():
    candles = klines(12, "5")
    features = create_multi_scale_features(candles, ["1H", "15min", "5min"])
    made = make_windows(features, candles, {**LOOKBACK}, every="15min")
    assert list(made.X) == ["1H", "15min", "5min"]
    pd.testing.assert_index_equal(made.close_time, windows().close_time)
    minutes = {"60min": features["1H"], "5min": features["5min"]}
    few = make_windows(minutes, candles, 8, every="15min")
    pd.testing.assert_index_equal(few.close_time, windows().close_time)


def test_the_numbers_of_a_frame_may_be_of_any_kind_and_its_index_of_any_unit():
    made = cut(lambda f: f.astype(object).set_axis(f.index.as_unit("ns").tz_localize(None)), every="15min")
    for scale, x in windows().X.items():
        np.testing.assert_array_equal(made.X[scale], x)


def test_an_origin_is_taken_alone_as_well():
    made = windows()
    assert len(made[5]) == len(made[[5]]) == 1
    np.testing.assert_array_equal(made[5].X["1H"], made.X["1H"][5:6])
    assert made[5].close_time[0] == made.close_time[5]
    assert len(made[np.arange(len(made)) < 7]) == 7


def test_a_validation_shorter_than_the_longest_horizon_is_refused():
    made = windows()  # of a quarter of an hour: 96 a day
    with pytest.raises(HistoryError, match=r"longest horizon, 1d, .* found \d+, 90 and \d+ windows"):
        made.split(0.5, 90.5 / len(made))
    assert len(made.split(0.5, 97.5 / len(made))[1]) == 2


def test_no_origin_is_where_there_is_no_price():
    candles = klines(12, "5")
    features = create_multi_scale_features(candles, list(LOOKBACK))
    missing = candles.index[2_000:2_040]
    made = make_windows(features, candles.drop(missing), LOOKBACK)
    assert not made.close_time.isin(missing).any()
    assert len(made) == len(make_windows(features, candles, LOOKBACK)) - 40


def test_windows_out_of_order_are_not_split():
    with pytest.raises(DataError, match="close_time of windows must rise"):
        windows()[np.arange(len(windows()))[::-1]].split()
    for shares in (("0.5", 0.2), (float("nan"), 0.2), (-0.5, 0.2), (0.5, None)):
        with pytest.raises(ConfigError, match="shares must be > 0 and leave a test"):
            windows().split(*shares)


@pytest.mark.parametrize("given", [8.0, True, "8", None, [8, 8], {"1H": 8}, {"1H": 8, "1D": 0}])
def test_one_number_or_one_for_each_scale(given):
    with pytest.raises(ConfigError, match=r"rows must be a whole number >= 1, or one for each scale"):
        per_scale(given, ["1H", "1D"], "rows")
    assert per_scale({"1D": np.int64(2), "1H": 1}, ["1H", "1D"], "rows") == {"1H": 1, "1D": 2}
