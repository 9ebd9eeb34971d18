"""Windows are cut at what is known, and their rows are found again."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyscale.chapter import create_multi_scale_features, make_windows
from polyscale.chapter.sharing import check_windows, rows_of_windows
from polyscale.market.errors import ConfigError, DataError, HistoryError
from tests.chapter.candles import LOOKBACK, klines, windows


def test_each_window_holds_the_newest_rows_that_are_known_at_its_origin():
    candles, made = klines(12, "5"), windows()
    features = create_multi_scale_features(candles, list(LOOKBACK))
    for n in (0, 100, len(made) - 1):
        origin = made.close_time[n]
        for scale, length in LOOKBACK.items():
            known = features[scale].loc[:origin].tail(length).to_numpy(np.float32)
            np.testing.assert_array_equal(made.X[scale][n, length - len(known) :], known)
            assert np.isnan(made.X[scale][n, : length - len(known)]).all()
    assert (made.close_time.minute % 15 == 0).all()


def test_returns_are_those_after_the_origin_and_unknown_at_the_end():
    candles, made = klines(12, "5"), windows()
    close = candles["close"]
    for j, horizon in enumerate(("5min", "1h", "1D")):
        later = close.reindex(made.close_time + pd.Timedelta(horizon)).to_numpy()
        now = close.loc[made.close_time].to_numpy()
        np.testing.assert_allclose(made.y[:, j], np.log(later / now), atol=1e-12)
    assert np.isnan(made.y[-96:, 2]).all()
    assert np.isfinite(made.y[:-97]).all()


def test_parts_are_purged_of_the_longest_horizon():
    train, validate, test = windows().split(0.5, 0.25)
    assert train.close_time[-1] + pd.Timedelta("1D") <= validate.close_time[0]
    assert validate.close_time[-1] + pd.Timedelta("1D") <= test.close_time[0]
    assert len(train) + len(validate) + len(test) == len(windows()) - 2 * 95
    np.testing.assert_array_equal(test.X["1H"][-1], windows().X["1H"][-1])


def test_shares_and_parts_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match=r"leave a test, got 0\.8 and 0\.2"):
        windows().split(0.8, 0.2)
    with pytest.raises(HistoryError, match="longer than the longest horizon, 1d"):
        windows()[:150].split()


def test_a_gap_is_a_row_of_nan_inside_the_windows_and_no_origin():
    candles = klines(12, "5")
    missing = candles.index[2_000:2_040]
    holed = candles.drop(missing)
    features = create_multi_scale_features(holed, list(LOOKBACK))
    made = make_windows(features, holed, LOOKBACK)
    assert not made.close_time.isin(missing).any()
    first = made.close_time[made.close_time > missing[-1]][0]
    assert first == missing[-1] + pd.Timedelta("5min") * 50  # all features are warm again
    at = made.close_time.get_loc(first)
    assert np.isfinite(made.X["5min"][at, -1]).all()
    assert np.isnan(made.X["5min"][at, :-1]).any(axis=-1).all()
    assert np.isnan(made.X["1H"][at, -1]).any()  # of hours 50 without a gap are not there yet: it is masked


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"horizons": ("5min", "1H")}, "three that rise"),
        ({"horizons": ("1H", "5min", "1D")}, "three that rise"),
        ({"lookback": {"5min": 3}}, "one for each scale"),
        ({"lookback": 0}, "whole number >= 1"),
        ({"every": "7min"}, "7m must be a whole multiple of 5m"),
    ],
)
def test_what_cannot_be_cut_is_refused(words, says):
    candles = klines(12, "5")
    features = create_multi_scale_features(candles, list(LOOKBACK))
    with pytest.raises(ConfigError, match=says):
        make_windows(features, candles, **{"lookback": LOOKBACK, **words})


def test_no_warm_row_is_an_error():
    candles = klines(12, "5")
    features = create_multi_scale_features(candles, ["5min", "1D"])
    assert np.isnan(make_windows(features, candles, 4).X["1D"]).all()
    with pytest.raises(HistoryError, match=r"a warm row of 1D at an origin, found none in \{'1D': 0\}"):
        make_windows({"1D": features["1D"]}, candles, 4)


def test_rows_that_windows_share_are_kept_once():
    for scale, every in (("5min", 3), ("15min", 1), ("1H", 0.25)):
        x = windows().X[scale]
        rows, last = rows_of_windows(x)
        length = x.shape[1]
        assert len(rows) <= length + every * len(x) + 1
        np.testing.assert_array_equal(rows[last[:, None] + np.arange(1 - length, 1)], x)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_windows_in_any_order_are_found_again(data):
    length, width, stem = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 3)), 12
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    source = (
        rng.choice([0.0, 1.0, np.nan], size=(stem, width))
        if rng.random() < 0.5
        else rng.normal(size=(stem, width))
    )
    ends = data.draw(st.lists(st.integers(length - 1, stem - 1), min_size=1, max_size=15))
    x = np.stack([source[end - length + 1 : end + 1] for end in ends]).astype(np.float32)
    rows, last = rows_of_windows(x)
    assert len(rows) <= length * len(x)
    np.testing.assert_array_equal(rows[last[:, None] + np.arange(1 - length, 1)], x)


@pytest.mark.parametrize(
    ("x", "says"),
    [
        ({"1H": np.zeros((3, 4, 2))}, "dict of the model's scales"),
        ([1, 2], "got list"),
        ({"1H": np.zeros((3, 4, 2)), "1D": np.zeros((2, 4, 2))}, "as many windows of every scale"),
        ({"1H": np.zeros((3, 4)), "1D": np.zeros((3, 4, 2))}, "must be \\[windows, rows, features\\]"),
        ({"1H": np.zeros((0, 4, 2)), "1D": np.zeros((0, 4, 2))}, "must be \\[windows, rows, features\\]"),
    ],
)
def test_arrays_of_another_shape_are_refused(x, says):
    with pytest.raises(DataError, match=says):
        check_windows(x, ("1H", "1D"))
