import numpy as np
import pytest
from pydantic import ValidationError
from vmdpy import VMD

from polyscale.market.errors import ConfigError, DataError, HistoryError
from polyscale.scales.settings import VmdSettings
from polyscale.scales.vmd import rolling_vmd, vmd, vmd_decomposition

SMALL = VmdSettings(window=64, modes=3, alpha=500)
INITS = {"zero": 0, "uniform": 1, "random": 2}
FIELDS = ("value", "slope", "energy", "frequency")


def walk(num_rows, seed=0):
    return 11.0 + 1e-3 * np.random.default_rng(seed).normal(size=num_rows).cumsum()


def reference(window, settings):
    """vmdpy's modes, frequencies and number of iterations on the standardised window, sorted by frequency."""
    standardised = (window - window.mean()) / window.std()
    modes, _, history = VMD(
        standardised,
        settings.alpha,
        settings.tau,
        settings.modes,
        int(settings.dc),
        INITS[settings.init],
        settings.tol,
    )
    order = np.argsort(history[-1], kind="stable")
    return modes[order], history[-1][order], len(history)


def assert_equals_reference(window, settings):
    modes, frequencies, iterations = reference(window[len(window) % 2 :], settings)
    found = vmd(window, settings, standardised=True)
    assert found.iterations == iterations
    np.testing.assert_allclose(found.modes, modes, atol=1e-8)
    np.testing.assert_allclose(found.frequencies, frequencies, atol=1e-9)
    rows = rolling_vmd(window, settings.model_copy(update={"window": len(window)}))
    assert rows.iterations[-1] == iterations
    np.testing.assert_allclose(rows.value[-1], modes[:, -1], atol=1e-8)
    np.testing.assert_allclose(rows.slope[-1], modes[:, -1] - modes[:, -2], atol=1e-8)
    np.testing.assert_allclose(rows.energy[-1], (modes**2).mean(axis=1), atol=1e-8)
    np.testing.assert_allclose(rows.frequency[-1], frequencies, atol=1e-9)


def assert_equal_rows(found, expected, rows):
    for field in (*FIELDS, "iterations"):
        np.testing.assert_array_equal(getattr(found, field)[rows], getattr(expected, field)[rows])


@pytest.mark.parametrize("tau", [0.0, 0.1])
@pytest.mark.parametrize("dc", [False, True])
@pytest.mark.parametrize("alpha", [50.0, 2_000.0])
@pytest.mark.parametrize("modes", [1, 2, 5])
def test_modes_are_those_of_vmdpy_at_the_same_iteration(modes, alpha, dc, tau):
    settings = VmdSettings(modes=modes, alpha=alpha, dc=dc, tau=tau)
    assert_equals_reference(walk(128), settings)


@pytest.mark.parametrize("size", [8, 9, 10, 63, 97, 254])
def test_any_length_equals_vmdpy_on_its_newest_even_number(size):
    assert_equals_reference(walk(size), VmdSettings(modes=2, alpha=200))


@pytest.mark.parametrize("init", ["zero", "uniform", "random"])
@pytest.mark.parametrize("dc", [False, True])
def test_every_start_is_that_of_vmdpy(init, dc, monkeypatch):
    settings = VmdSettings(init=init, seed=5, dc=dc)
    draws = np.random.default_rng(settings.seed).random(settings.modes)
    monkeypatch.setattr(np.random, "rand", lambda *shape: draws.reshape(shape))
    assert_equals_reference(walk(200), settings)


@pytest.mark.parametrize("tol", [1.0, 1e-2, 1e-5])
def test_a_loose_tolerance_stops_where_vmdpy_stops(tol):
    assert_equals_reference(walk(128), VmdSettings(tol=tol))


def test_the_number_of_iterates_is_bounded_as_in_vmdpy():
    endless = VmdSettings(tol=1e-16)  # below the spacing that is added to the change
    assert_equals_reference(walk(128), endless)
    assert vmd(walk(128), endless).iterations == 499
    assert vmd(walk(128), VmdSettings(tol=1e-16, max_iterations=20)).iterations == 19


@pytest.mark.real_data
def test_real_windows_equal_vmdpy(real_btc):
    series = np.log(real_btc["close"].to_numpy())
    settings = VmdSettings()
    rows = np.linspace(1_000, len(series) - 1, 25).astype(int)
    found = rolling_vmd(series, settings, rows)
    for row in rows:
        modes, frequencies, iterations = reference(series[row - 255 : row + 1], settings)
        assert found.iterations[row] == iterations
        np.testing.assert_allclose(found.value[row], modes[:, -1], atol=1e-8)
        np.testing.assert_allclose(found.frequency[row], frequencies, atol=1e-9)


@pytest.mark.real_data
def test_the_edge_error_is_as_documented(real_btc):
    series, settings = np.log(real_btc["close"].to_numpy()), VmdSettings()
    errors = []
    for row in np.linspace(600, len(series) - 600, 400).astype(int):
        trailing, centred = series[row - 255 : row + 1], series[row - 128 : row + 128]
        gap = vmd(trailing, settings).modes[:, -1] - vmd(centred, settings).modes[:, 128]
        errors.append(np.abs(gap) / trailing.std())
    np.testing.assert_allclose(np.median(errors, axis=0), [0.19, 0.17, 0.05, 0.02], rtol=0.35)


def test_rows_do_not_depend_on_which_others_are_asked_for_nor_on_threads():
    series = walk(300)
    whole = rolling_vmd(series, SMALL, threads=1)
    asked = np.random.default_rng(1).permutation(300)[:101]
    for rows in (asked, asked[:1], np.r_[asked, asked]):
        found = rolling_vmd(series, SMALL, rows, threads=3)
        assert_equal_rows(found, whole, rows)
        assert np.isnan(np.delete(found.value, rows, axis=0)).all()
    assert_equal_rows(rolling_vmd(series, SMALL), whole, np.arange(300))


def test_no_row_moves_when_later_ones_are_added_or_wrecked():
    series = walk(200)
    whole = rolling_vmd(series, SMALL)
    for cut in (64, 65, 130):
        past = np.arange(cut)
        assert_equal_rows(rolling_vmd(series[:cut], SMALL), whole, past)
        for wreck in (1e9, np.nan, -np.inf):
            wrecked = np.concatenate([series[:cut], np.full(200 - cut, wreck)])
            assert_equal_rows(rolling_vmd(wrecked, SMALL), whole, past)


@pytest.mark.parametrize("window", [64, 65])
def test_a_row_depends_on_its_window_alone(window):
    series, settings = walk(200), SMALL.model_copy(update={"window": window})
    whole = rolling_vmd(series, settings)
    first = 150 - 64 + 1
    cut = rolling_vmd(series[first:], settings)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(cut, field)[63:], getattr(whole, field)[150:])
        assert np.isnan(getattr(cut, field)[:63]).all()


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
def test_a_missing_value_spoils_only_windows_that_hold_it(missing):
    series = walk(250)
    holed = series.copy()
    holed[100] = missing
    found, whole = rolling_vmd(holed, SMALL), rolling_vmd(series, SMALL)
    assert np.isnan(found.value[100:164]).all()
    assert (found.iterations[100:164] == 0).all()
    assert_equal_rows(found, whole, np.r_[0:100, 164:250])


@pytest.mark.parametrize("level", [0.1, 1e-8, 1e12])
def test_a_flat_window_has_zero_modes_and_finite_frequencies(level):
    flat = np.full(70, level)
    found = rolling_vmd(flat, SMALL)
    assert (found.value[63:] == 0.0).all()
    assert (found.slope[63:] == 0.0).all()
    assert (found.energy[63:] == 0.0).all()
    np.testing.assert_array_equal(found.frequency[69], [0.0, 0.5 / 3, 1.0 / 3])
    modes = vmd(flat, SMALL).modes
    np.testing.assert_array_equal(modes, [np.full(70, level), np.zeros(70), np.zeros(70)])


@pytest.mark.parametrize("scale", [1e-250, 1e-8, 1e9, 1e250])
def test_the_unit_of_the_series_does_not_matter(scale):
    series = walk(64) - 10.9
    found, scaled = rolling_vmd(series, SMALL), rolling_vmd(scale * series, SMALL)
    for field in FIELDS:
        np.testing.assert_allclose(getattr(scaled, field)[-1], getattr(found, field)[-1], atol=1e-9)
    np.testing.assert_allclose(vmd(scale * series, SMALL).modes, scale * vmd(series, SMALL).modes, rtol=1e-6)


def test_two_tones_come_apart_in_the_order_of_their_frequencies():
    rows = np.arange(512)
    slow, fast = 3.0 * np.cos(2 * np.pi * 0.02 * rows), np.cos(2 * np.pi * 0.21 * rows)
    settings = VmdSettings(modes=2)
    found = vmd(100.0 + slow + fast, settings)
    np.testing.assert_allclose(found.frequencies, [0.02, 0.21], atol=2e-3)
    middle = slice(100, 412)
    np.testing.assert_allclose(found.modes[0, middle], 100.0 + slow[middle], atol=0.15)
    np.testing.assert_allclose(found.modes[1, middle], fast[middle], atol=0.15)


@pytest.mark.parametrize("init", ["zero", "uniform", "random"])
def test_frequencies_are_sorted_and_energies_make_about_the_variance(init):
    found = rolling_vmd(walk(400), SMALL.model_copy(update={"init": init, "alpha": 50.0}))
    frequency, energy = found.frequency[63:], found.energy[63:]
    assert (np.diff(frequency, axis=1) >= 0.0).all()
    assert (frequency >= 0.0).all()
    assert (frequency <= 0.5).all()
    assert (energy.sum(axis=1) > 0.5).all()
    assert (energy.sum(axis=1) < 1.1).all()


def test_modes_of_one_window_sum_to_about_the_window_and_closer_with_a_dual_step():
    window = 60_000.0 + 1e6 * (walk(256) - 11.0)
    loose = vmd(window, VmdSettings(alpha=200)).modes.sum(axis=0) - window
    closer = vmd(window, VmdSettings(alpha=200, tau=1.0)).modes.sum(axis=0) - window
    assert np.std(loose) < 0.1 * np.std(window)
    assert np.std(closer) < 0.5 * np.std(loose)
    assert abs(loose.mean()) < 1e-3 * np.std(window)


def test_what_grows_without_bound_is_missing_or_an_error():
    with pytest.raises(ValidationError, match="less than 4"):
        VmdSettings(tau=4.0)
    wild = SMALL.model_copy(update={"tau": 1e3})
    found = rolling_vmd(walk(70), wild)
    for field in FIELDS:
        assert np.isnan(getattr(found, field)).all()
    with pytest.raises(ConfigError, match=r"tau must leave the iteration finite, got 1000\.0"):
        vmd(walk(64), wild)


def test_the_chapters_function_keeps_its_names():
    prices = 60_000.0 + 1e6 * (walk(256) - 11.0)
    found = vmd_decomposition(prices, n_modes=3, DC=1, init=0)
    expected = vmd(prices, VmdSettings(modes=3, dc=True, init="zero"))
    assert list(found) == ["mode_0", "mode_1", "mode_2", "frequencies"]
    np.testing.assert_array_equal(found["mode_2"], expected.modes[2])
    np.testing.assert_array_equal(found["frequencies"], expected.frequencies)
    assert found["frequencies"][0] == 0.0
    with pytest.raises(ConfigError, match=r"init must be 0 \(zero\).*got 3"):
        vmd_decomposition(prices, init=3)


def test_the_largest_dual_steps_stay_bounded():
    found = rolling_vmd(walk(200), SMALL.model_copy(update={"tau": 3.9}))
    assert (found.energy[63:].sum(axis=1) < 2.0).all()


def test_what_cannot_be_a_window_is_refused():
    with pytest.raises(HistoryError, match="needs a window of 8 bars, found 7"):
        vmd(walk(7), SMALL)
    with pytest.raises(DataError, match="must be finite, got 2 that are not"):
        vmd(np.append(walk(20), [np.nan, np.inf]), SMALL)
    with pytest.raises(DataError, match=r"one series \[N\], got shape \(20, 1\)"):
        vmd(walk(20)[:, None], SMALL)


def test_what_cannot_be_rows_is_refused():
    for rows in (np.array([-1, 3]), np.array([20])):
        with pytest.raises(DataError, match="rows must lie in 0 to 19"):
            rolling_vmd(walk(20), SMALL, rows)
    with pytest.raises(DataError, match=r"one series \[T\], got shape \(20, 1\)"):
        rolling_vmd(walk(20)[:, None], SMALL)


@pytest.mark.parametrize("num_rows", [0, 1, 63])
def test_a_series_shorter_than_the_window_has_no_row(num_rows):
    found = rolling_vmd(walk(num_rows), SMALL)
    assert found.value.shape == (num_rows, 3)
    assert np.isnan(found.value).all()
    assert (found.iterations == 0).all()
