"""Nothing that the chapter's functions give for a time moves when what comes after it is another future."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyscale.chapter import backtest_multi_scale_strategy, create_multi_scale_features, make_windows
from tests.chapter.candles import LOOKBACK, as_the_chapter_has_them, klines

DAYS = 6
ROWS = DAYS * 288
HORIZONS = ("5min", "1H", "4H")
few = settings(max_examples=12, deadline=None)


def another_future(candles, cut, kind, seed):
    """The same candles up to a row, and others after it."""
    rng = np.random.default_rng(seed)
    later = candles.iloc[cut:]
    if kind == "none":
        return candles.iloc[:cut]
    if kind == "holes":
        return pd.concat([candles.iloc[:cut], later[rng.random(len(later)) < 0.5]])
    if kind == "missing":
        return pd.concat([candles.iloc[:cut], later * np.nan])
    factor = np.exp(0.05 * rng.normal(size=len(later)).cumsum())
    moved = later.mul(factor, axis=0)
    return pd.concat([candles.iloc[:cut], moved])


def windows_of(candles, every="15min"):
    features = create_multi_scale_features(candles, list(LOOKBACK))
    return make_windows(features, candles, LOOKBACK, HORIZONS, every=every)


@pytest.mark.parametrize("by_open", [False, True])
@given(
    cut=st.integers(ROWS - 600, ROWS - 1),
    kind=st.sampled_from(["none", "holes", "missing", "moved"]),
    seed=st.integers(0, 9),
)
@few
def test_windows_and_labels_known_by_a_time_do_not_move_with_its_future(by_open, cut, kind, seed):
    candles = klines(DAYS, "5")
    now = candles.index[cut - 1]
    given_frame = another_future(candles, cut, kind, seed)
    if by_open:
        given_frame = as_the_chapter_has_them(given_frame.set_axis(given_frame.index - pd.Timedelta("4min")))
    expected, found = windows_of(candles), windows_of(given_frame)
    old, new = (made[np.asarray(made.close_time <= now)] for made in (expected, found))
    pd.testing.assert_index_equal(old.close_time, new.close_time)
    for scale in LOOKBACK:
        np.testing.assert_array_equal(old.X[scale], new.X[scale])
    for j, horizon in enumerate(HORIZONS):
        ended = old.close_time + pd.Timedelta(horizon.lower()) <= now
        np.testing.assert_array_equal(old.y[ended, j], new.y[ended, j])


@given(
    train=st.floats(0.2, 0.6), validate=st.floats(0.15, 0.3), every=st.sampled_from(["5min", "15min", "1H"])
)
@few
def test_no_label_of_a_part_ends_after_the_next_begins(train, validate, every):
    made = windows_of(klines(DAYS, "5"), every)
    parts = made.split(train, validate)
    longest = pd.Timedelta("4h")
    for part, following in pairwise(parts):
        assert part.close_time[-1] + longest <= following.close_time[0]
        step = made.close_time[1] - made.close_time[0]
        assert part.close_time[-1] + longest + step > following.close_time[0]  # and no more is given away
    assert parts[0].close_time[0] == made.close_time[0]
    assert parts[2].close_time[-1] == made.close_time[-1]


@given(
    cut=st.integers(400, 900),
    kind=st.sampled_from(["moved", "holes"]),
    seed=st.integers(0, 9),
    sizing=st.sampled_from(["fixed", "confidence", "kelly"]),
)
@few
def test_equity_up_to_a_time_does_not_move_with_later_prices_or_forecasts(cut, kind, seed, sizing):
    candles = klines(DAYS, "5").iloc[:1_000]
    rng = np.random.default_rng(seed)
    up = rng.uniform(0.2, 0.8, 1_000)
    said = {"direction": up}
    for term in ("short_term", "medium_term", "long_term"):
        said[term] = 0.002 * (up - 0.5)
    other = another_future(candles, cut, kind, seed)
    kept = candles.index.get_indexer(other.index)
    later = {name: np.where(kept < cut, values[kept], 1 - values[kept]) for name, values in said.items()}
    for term in ("short_term", "medium_term", "long_term"):
        later[term] = np.where(kept < cut, later[term], -said[term][kept])
    words = {"horizons": HORIZONS, "position_sizing": sizing, "confidence_threshold": 0.55}
    first = backtest_multi_scale_strategy(said, candles, **words).equity_curve
    second = backtest_multi_scale_strategy(later, other, **words).equity_curve
    now = candles.index[cut - 1]
    np.testing.assert_array_equal(first[:now].to_numpy(), second[:now].to_numpy())
    assert first[:now].nunique() > 50


def test_a_forecast_is_traded_at_the_open_after_its_close_and_not_before():
    candles = klines(DAYS, "5").iloc[:600]
    row = 400
    at = candles.index[[row, row + 30]]
    said = {term: np.array([0.01, 0.0]) for term in ("short_term", "medium_term", "long_term")}
    said["direction"] = np.array([0.9, 0.5])
    for frame in (candles, as_the_chapter_has_them(candles.set_axis(candles.index - pd.Timedelta("4min")))):
        found = backtest_multi_scale_strategy(said, frame, at=at, transaction_cost=0.0)
        [trade] = found.details.trades.to_dicts()
        assert pd.Timestamp(trade["entry_time"]).tz_convert("UTC") in (at[0], candles.index[row + 1])
        assert trade["entry_price"] == pytest.approx(candles["open"].iloc[row + 1])
