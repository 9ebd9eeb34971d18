"""Ensemble, slope of the direction, conformal quantiles."""

import dataclasses

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from polyscale.forecast.conformal import conformal
from polyscale.forecast.ensemble import average
from polyscale.forecast.slopes import Slopes, fit_slopes, sloped
from polyscale.market.errors import DataError
from polyscale.market.forecast import Forecast
from polyscale.market.timeframe import Timeframe

LEVELS = (0.05, 0.5, 0.95)
HOUR_MS = 3_600_000
NORMAL = np.tile(norm.ppf(LEVELS), (2, 1))  # quantiles of the base, in units of volatility


def forecast(num=2_000, sd=1.0, prob=0.5, seed=0, horizons=("1h", "4h")):
    """Normal quantiles of a volatility that moves."""
    rng = np.random.default_rng(seed)
    h = len(horizons)
    volatility = np.exp(0.2 * rng.normal(size=(num, h))) * sd
    return Forecast(
        close_time=np.datetime64("2025-01-01", "ms") + np.arange(num) * np.timedelta64(1, "h"),
        horizons=tuple(Timeframe.parse(text) for text in horizons),
        levels=LEVELS,
        scales=("1h",),
        quantiles=volatility[..., None] * norm.ppf(LEVELS),
        prob_up=np.full((num, h), prob) + 0.1 * rng.uniform(-1, 1, size=(num, h)),
        volatility=volatility,
        expected_return=np.zeros((num, h)),
        base_volatility=volatility.copy(),
        scale_weights=np.ones((num, 1)),
        cross_attention=np.ones((num, 1, 1)),
    )


def test_an_ensemble_is_the_mean_of_log_variances_quantiles_and_probabilities():
    a, b = forecast(10, 1.0, 0.4), forecast(10, 2.0, 0.6, seed=1)
    mean = average([a, b])
    np.testing.assert_allclose(mean.volatility**2, a.volatility * b.volatility)
    np.testing.assert_allclose(mean.quantiles, (a.quantiles + b.quantiles) / 2)
    np.testing.assert_allclose(mean.prob_up, (a.prob_up + b.prob_up) / 2)
    assert (np.diff(mean.quantiles) > 0).all()
    np.testing.assert_allclose(average([a]).volatility, a.volatility)
    with pytest.raises(DataError, match="at least 1"):
        average([])
    with pytest.raises(DataError, match="same origins"):
        average([a, forecast(11)])


@pytest.mark.parametrize("truth", [0.0, 0.4, 1.0, 2.0])
def test_the_slope_of_direction_is_that_of_maximum_likelihood_between_0_and_1(truth):
    rng = np.random.default_rng(3)
    given = forecast(20_000, horizons=("1h",))
    logit = rng.normal(size=(20_000, 1))
    came = np.where(rng.random((20_000, 1)) < 1 / (1 + np.exp(-truth * logit)), 0.01, -0.01)
    given = dataclasses.replace(given, prob_up=1 / (1 + np.exp(-logit)))
    found = fit_slopes([given], [came], NORMAL[:1]).direction[0]
    best = minimize_scalar(lambda s: np.logaddexp(0, -s * logit * np.sign(came)).sum()).x
    assert found == pytest.approx(np.clip(best, 0, 1), abs=1e-3)
    assert abs(found - min(truth, 1)) < 0.05


@pytest.mark.parametrize(("truth", "slope"), [(0.0, 0.0), (0.4, 0.2), (1.0, 0.5), (2.0, 0.5)])
def test_the_slope_of_shape_is_half_of_what_fits_best(truth, slope):
    given = forecast(20_000, horizons=("1h",))
    shift = np.random.default_rng(4).normal(size=(20_000, 1))
    moved = given.quantiles + (given.volatility * shift)[..., None]
    came = given.volatility * (truth * shift + np.random.default_rng(5).normal(size=shift.shape))
    told = dataclasses.replace(given, quantiles=moved)
    found = fit_slopes(
        [told.at(np.arange(9_000)), told.at(np.arange(9_000, 20_000))],
        [came[:9_000], came[9_000:]],
        NORMAL[:1],
    )
    assert found.shape[0] == pytest.approx(slope, abs=0.02)
    drawn = sloped(told, found, NORMAL[:1])
    expected = given.quantiles + found.shape[0] * (given.volatility * shift)[..., None]
    np.testing.assert_allclose(drawn.quantiles, expected, atol=1e-9)


def test_a_direction_that_is_wrong_becomes_a_coin_and_zero_returns_say_nothing():
    given = forecast(500)
    against = -(given.prob_up - 0.5)
    slopes = fit_slopes([given], [against], NORMAL)
    assert slopes.direction == pytest.approx([0, 0], abs=1e-6)
    nothing, everything = (Slopes(np.full(2, k), np.full(2, k)) for k in (0.0, 1.0))
    np.testing.assert_allclose(sloped(given, nothing, NORMAL).prob_up, 0.5)
    np.testing.assert_allclose(sloped(given, everything, NORMAL).prob_up, given.prob_up, rtol=1e-9)
    np.testing.assert_allclose(sloped(given, everything, NORMAL).quantiles, given.quantiles, atol=1e-12)
    assert (fit_slopes([given], [np.zeros((500, 2))], NORMAL).direction == 0).all()
    assert (fit_slopes([given], [np.full((500, 2), np.nan)], NORMAL).shape == 0).all()


def overlapping(num, ahead, seed):
    """Returns over so many hours of independent hourly ones, in units of their sd; NaN at the end."""
    steps = np.random.default_rng(seed).normal(size=num)
    total = np.convolve(steps, np.ones(ahead), "valid")[1:] / np.sqrt(ahead)
    return np.concatenate([total, np.full(num - len(total), np.nan)])


def test_quantiles_that_are_too_narrow_learn_to_hold_what_they_promise():
    num = 8_000
    given = forecast(num)
    came = np.column_stack([overlapping(num, 1, 1), overlapping(num, 4, 2)]) * 2.0 * given.volatility
    found = conformal(given, came, HOUR_MS, 0.05)
    late = slice(4_000, num - 4)

    def held(q):
        return ((q[late, :, 0] <= came[late]) & (came[late] <= q[late, :, 2])).mean(axis=0)

    assert (held(given.quantiles) < 0.65).all()
    np.testing.assert_allclose(held(found.quantiles), 0.9, atol=0.02)
    assert (np.diff(found.quantiles) >= 0).all()


def slow_conformal(given, came, rate):
    """The same as its definition says, in loops."""
    times = given.close_time.astype("datetime64[ms]").astype(np.int64)
    out = np.empty_like(given.quantiles)
    for h, horizon in enumerate(given.horizons):
        offset, done = np.zeros(len(LEVELS)), set()
        for i in range(len(times)):
            for j in range(i):
                if j not in done and times[j] + horizon.ms <= times[i]:
                    done.add(j)
                    if np.isfinite(came[j, h]):
                        over = came[j, h] > out[j, h]
                        step = rate * HOUR_MS / horizon.ms
                        offset = offset + step * np.where(over, LEVELS, np.array(LEVELS) - 1)
            out[i, h] = np.sort(given.quantiles[i, h] + given.volatility[i, h] * offset)
    return out


def test_as_defined_in_loops_with_holes():
    given = forecast(120)
    given = given.at(np.delete(np.arange(120), [30, 31, 32, 70]))
    came = np.random.default_rng(5).normal(size=given.volatility.shape)
    came[40:44] = np.nan
    np.testing.assert_allclose(
        conformal(given, came, HOUR_MS, 0.3).quantiles, slow_conformal(given, came, 0.3), rtol=1e-12
    )


@pytest.mark.parametrize("at", [10, 60])
def test_a_return_moves_nothing_before_it_has_ended(at):
    given = forecast(100)
    came = np.random.default_rng(5).normal(size=given.volatility.shape)
    before = conformal(given, came, HOUR_MS).quantiles
    for h, ahead in enumerate((1, 4)):
        wrecked = came.copy()
        wrecked[at, h] = -50.0 if came[at, h] > 0 else 50.0
        after = conformal(given, wrecked, HOUR_MS).quantiles
        assert np.flatnonzero((after != before).any(axis=(1, 2)))[0] == at + ahead


def test_unfit_input_is_refused():
    given = forecast(10)
    with pytest.raises(DataError, match="shape"):
        conformal(given, np.zeros((9, 2)), HOUR_MS)
    backwards = dataclasses.replace(given, close_time=given.close_time[::-1].copy())
    with pytest.raises(DataError, match="rising"):
        conformal(backwards, np.zeros((10, 2)), HOUR_MS)
