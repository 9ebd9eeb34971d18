import numpy as np
import pytest
import pywt
from pydantic import ValidationError

from polyscale.market.errors import DataError, HistoryError
from polyscale.scales.settings import WaveletSettings
from polyscale.scales.wavelet import modwt, reach, wavelet_decomposition

FILTERS = pywt.wavelist(kind="discrete")
DB4 = WaveletSettings(wavelet="db4", levels=3)


def walk(num_rows, seed=0):
    return np.random.default_rng(seed).normal(size=num_rows).cumsum()


@pytest.mark.parametrize("name", FILTERS)
def test_the_bands_of_a_row_sum_to_its_value(name):
    settings = WaveletSettings(wavelet=name, levels=4)
    series = walk(reach(settings) + 200)
    found = modwt(series, settings)
    warm = found[:, reach(settings) - 1 :]
    assert found.shape == (5, len(series))
    assert np.isnan(found[:, : reach(settings) - 1]).all()
    np.testing.assert_allclose(
        warm.sum(axis=0), series[reach(settings) - 1 :], atol=1e-13 * np.abs(warm).max()
    )


@pytest.mark.parametrize("name", FILTERS)
def test_the_trend_is_the_stationary_transform_of_the_reversed_series(name):
    settings = WaveletSettings(wavelet=name, levels=3)
    series = walk(8 * (20 + reach(settings) // 8))
    taps = np.array(pywt.Wavelet(name).dec_lo)
    num_trailing_zeros = len(taps) - len(np.trim_zeros(taps, "b"))
    centred_by = (
        len(taps) // 2 - 1 - num_trailing_zeros
    )  # rows, of the first level; twice as many at each next
    smooth = pywt.swt(series[::-1], name, level=3, trim_approx=True)[0][::-1] / np.sqrt(2.0) ** 3
    warm = slice(reach(settings) - 1, None)
    np.testing.assert_allclose(
        modwt(series, settings)[-1, warm], np.roll(smooth, centred_by * 7)[warm], atol=1e-10
    )


def test_haar_is_means_of_pairs():
    found = modwt(np.array([1.0, 3.0, 8.0, 2.0, 4.0]), WaveletSettings(wavelet="haar", levels=2))
    np.testing.assert_array_equal(found[0, 3:], [2.0 - 5.0, 4.0 - 3.0])
    np.testing.assert_array_equal(found[1, 3:], [5.0 - 3.5, 3.0 - 4.25])
    np.testing.assert_array_equal(found[2, 3:], [3.5, 4.25])


@pytest.mark.parametrize("name", ["haar", "db4", "bior2.2", "dmey"])
def test_no_row_moves_when_later_ones_are_added_or_wrecked(name):
    settings = WaveletSettings(wavelet=name, levels=3)
    series = walk(3_000)
    whole = modwt(series, settings)
    for cut in (1, 500, 2_047, 2_048, 2_049):
        np.testing.assert_array_equal(modwt(series[:cut], settings), whole[:, :cut])
        wrecked = np.concatenate([series[:cut], np.full(3_000 - cut, 1e300)])
        np.testing.assert_array_equal(modwt(wrecked, settings)[:, :cut], whole[:, :cut])


def test_a_row_depends_on_its_reach_and_on_all_of_it():
    series, row = walk(400), 390
    whole = modwt(series, DB4)
    first = row - reach(DB4) + 1
    np.testing.assert_array_equal(modwt(series[first:], DB4)[:, -(400 - row) :], whole[:, row:])
    moved = series.copy()
    moved[first] += 1.0
    assert modwt(moved, DB4)[-1, row] != whole[-1, row]


def test_a_missing_value_spoils_only_rows_that_reach_it():
    series = walk(400)
    whole = modwt(series, DB4)
    holed = series.copy()
    holed[150] = np.inf
    found = modwt(holed, DB4)
    spoiled = slice(150, 150 + reach(DB4))
    assert np.isnan(found[-1, spoiled]).all()
    after = np.r_[reach(DB4) - 1 : 150, 150 + reach(DB4) : 400]
    np.testing.assert_array_equal(found[:, after], whole[:, after])
    assert np.isnan(found[0, 150:158]).all()
    assert np.isfinite(found[0, 158])


@pytest.mark.parametrize("num_rows", [0, 1, 49])
def test_a_series_shorter_than_the_reach_has_no_row(num_rows):
    assert reach(DB4) == 50
    assert np.isnan(modwt(walk(num_rows), DB4)).all()
    assert np.isfinite(modwt(walk(50), DB4)[:, -1]).all()


def test_a_slow_and_a_fast_wave_part():
    rows = np.arange(2_000)
    slow, fast = np.sin(2 * np.pi * rows / 400), np.sin(2 * np.pi * rows / 2.2)
    settings = WaveletSettings(wavelet="db8", levels=4)
    found = modwt(slow + fast, settings)[:, reach(settings) :]
    assert np.std(found[0]) > 0.9 * np.std(fast)
    assert np.std(found[-1]) == pytest.approx(np.std(slow), rel=0.05)


def test_a_constant_is_all_trend():
    found = modwt(np.full(60, 7.0), DB4)[:, 49:]
    np.testing.assert_allclose(found[:-1], 0.0, atol=1e-14)
    np.testing.assert_allclose(found[-1], 7.0, rtol=1e-14)


def test_bands_are_named_from_fine_to_coarse():
    assert DB4.bands == ("detail_1", "detail_2", "detail_3", "trend")


def test_modwt_refuses_a_table():
    with pytest.raises(DataError, match=r"one series \[T\], got shape \(2, 30\)"):
        modwt(np.zeros((2, 30)), DB4)


def test_an_unknown_filter_is_answered_with_near_ones():
    with pytest.raises(ValidationError, match=r"got 'bd4'; near it: .*\bdb4\b"):
        WaveletSettings(wavelet="bd4")
    with pytest.raises(ValidationError, match="got 'morl'"):
        WaveletSettings(wavelet="morl")
    with pytest.raises(ValidationError, match="less than or equal to 12"):
        WaveletSettings(levels=13)


def test_the_window_transform_is_that_of_the_chapter():
    window = walk(256)
    found = wavelet_decomposition(window, "sym5", 3)
    assert list(found) == ["trend", "detail_1", "detail_2", "detail_3"]
    assert len(found["detail_1"]) < len(found["detail_3"])
    np.testing.assert_allclose(pywt.waverec(list(found.values()), "sym5"), window, atol=1e-12)


def test_the_window_transform_refuses_a_short_or_holed_window():
    with pytest.raises(HistoryError, match="4 levels of db4 need a window of 112 bars, found 111"):
        wavelet_decomposition(walk(111))
    assert len(wavelet_decomposition(walk(112))) == 5
    with pytest.raises(DataError, match="must be finite, got 1 that are not"):
        wavelet_decomposition(np.append(walk(120), np.nan))
