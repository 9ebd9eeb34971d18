"""Trailing windows against NumPy's on every window, and what may not touch them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyscale.features.windows import (
    change,
    lag,
    lead,
    mean_of_lags,
    ratio,
    run_length,
    trailing_max,
    trailing_mean,
    trailing_min,
    trailing_std,
    trailing_sum,
)

TWINS = [
    (trailing_sum, lambda windows: windows.sum(axis=1)),
    (trailing_mean, lambda windows: windows.mean(axis=1)),
    (trailing_max, lambda windows: windows.max(axis=1)),
    (trailing_min, lambda windows: windows.min(axis=1)),
    (trailing_std, lambda windows: windows.std(axis=1, ddof=1)),
]


@pytest.mark.parametrize(("trailing", "twin"), TWINS)
@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000), num_rows=st.integers(1, 120), bars=st.integers(2, 130), holes=st.booleans()
)
def test_every_row_is_that_of_its_window_alone(trailing, twin, seed, num_rows, bars, holes):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=num_rows)
    values[rng.random(num_rows) < (0.05 if holes else 0)] = np.nan
    found = trailing(values, bars)
    assert np.isnan(found[: bars - 1]).all()
    if num_rows >= bars:
        windows = np.lib.stride_tricks.sliding_window_view(values, bars)
        np.testing.assert_allclose(found[bars - 1 :], twin(windows), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("trailing", "twin"), TWINS)
def test_an_earlier_crash_leaves_no_trace(trailing, twin):
    """Sums that add and take away would keep a rounding error of 1e-4 here, for ever."""
    quiet = np.full(500, 1e-5)
    wild = quiet.copy()
    wild[100] = 1e12
    for bars in (3, 20, 64):
        np.testing.assert_array_equal(trailing(wild, bars)[101 + bars :], trailing(quiet, bars)[101 + bars :])


def test_a_constant_window_has_no_spread():
    assert trailing_std(np.full(100, 0.1), 7)[6:].max() == 0.0


@pytest.mark.parametrize("bars", [1, 2, 3, 7, 12, 288])
def test_mean_of_what_is_known_needs_its_share(bars):
    values = np.random.default_rng(0).random(600)
    values[400] = np.nan
    found = trailing_mean(values, bars, min_share=0.9)
    for t in (bars - 1, 300, 599):
        np.testing.assert_allclose(found[t], np.nanmean(values[t - bars + 1 : t + 1]), rtol=1e-12)
    assert np.isnan(found[400]) == (bars < 10)


def test_lag_change_and_lead_move_by_rows():
    values = np.arange(4.0) ** 2
    np.testing.assert_array_equal(lag(values, 1), [np.nan, 0, 1, 4])
    np.testing.assert_array_equal(change(values, 1), [np.nan, 1, 3, 5])
    np.testing.assert_array_equal(lead(values, 1), [1, 4, 9, np.nan])
    for moved in (lag, change, lead):
        assert np.isnan(moved(values, 9)).all()


def test_mean_of_lags_takes_the_same_time_of_earlier_days():
    values = np.arange(12.0)
    values[5] = np.nan
    np.testing.assert_array_equal(mean_of_lags(values, 3, 2, 2)[:10], [np.nan] * 6 + [1.5, 2.5, np.nan, 4.5])
    assert mean_of_lags(values, 3, 2, 1)[8] == 2.0


def test_ratio_has_a_value_where_there_is_nothing_to_divide_by():
    found = ratio(np.array([3.0, 0.0, np.nan]), np.array([2.0, 0.0, 1.0]), 0.5)
    np.testing.assert_array_equal(found, [1.5, 0.5, np.nan])


def test_run_length_counts_bars_in_a_row():
    assert run_length(np.array([True, True, False, True])).tolist() == [1, 2, 0, 1]
