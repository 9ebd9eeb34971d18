import numpy as np
import pytest
from arch.bootstrap import CircularBlockBootstrap
from scipy import signal, stats

from polyscale.evaluation.bootstrap import Bootstrap, block_length, mean_interval, resampled_means
from polyscale.market.errors import DataError


def autoregression(rng, phi, num):
    return signal.lfilter([1.0], [1.0, -phi], rng.standard_normal(num + 200))[200:]


def share_holding_zero(series, block):
    intervals = [mean_interval(x, Bootstrap(block, num_draws=400, seed=i)) for i, x in enumerate(series)]
    return np.mean([interval.low <= 0 <= interval.high for interval in intervals])


def test_resampled_means_equal_the_slow_obvious_twin():
    values, setup = np.random.default_rng(3).normal(size=23), Bootstrap(5, num_draws=50, seed=9)
    rng = np.random.default_rng(9)
    whole, shorter = rng.integers(23, size=(50, 4)), rng.integers(23, size=50)
    circle = np.tile(values, 2)
    wanted = [
        np.concatenate([*(circle[s : s + 5] for s in starts), circle[last : last + 3]]).mean()
        for starts, last in zip(whole, shorter, strict=True)
    ]
    np.testing.assert_allclose(resampled_means(values, setup), wanted, rtol=1e-12)


def test_blocks_of_one_give_the_standard_error_of_the_mean():
    values = np.random.default_rng(4).normal(size=2000)
    spread = resampled_means(values, Bootstrap(1, num_draws=4000)).std()
    assert spread == pytest.approx(stats.sem(values), rel=0.05)


def test_interval_of_independent_values_agrees_with_students():
    values = np.random.default_rng(5).normal(1.0, 2.0, size=3000)
    interval = mean_interval(values, Bootstrap(1, num_draws=8000))
    low, high = stats.t.interval(0.95, 2999, values.mean(), stats.sem(values))
    assert interval.mean == values.mean()
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.01)


def test_same_seed_same_interval():
    values = np.random.default_rng(6).normal(size=300)
    assert mean_interval(values, Bootstrap(7, seed=1)) == mean_interval(values, Bootstrap(7, seed=1))
    assert mean_interval(values, Bootstrap(7, seed=1)) != mean_interval(values, Bootstrap(7, seed=2))


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.8])
def test_intervals_hold_the_mean_of_an_autoregression_about_as_often_as_they_say(phi):
    rng = np.random.default_rng(7)
    series = [autoregression(rng, phi, 1000) for _ in range(400)]
    assert 0.89 <= share_holding_zero(series, block_length(1000, 1)) <= 0.98


def test_intervals_hold_the_mean_of_overlapping_labels_though_blocks_are_few():
    rng = np.random.default_rng(8)
    series = [np.convolve(rng.standard_normal(323), np.ones(24), "valid") for _ in range(400)]
    assert 0.91 <= share_holding_zero(series, 48) <= 0.99


def test_blocks_of_one_are_too_sure_of_an_autoregression():
    rng = np.random.default_rng(9)
    series = [autoregression(rng, 0.8, 1000) for _ in range(200)]
    assert share_holding_zero(series, 1) < 0.7


def test_too_few_blocks_give_no_interval_but_a_reason():
    interval = mean_interval(np.arange(30.0), Bootstrap(10))
    assert (interval.mean, interval.low, interval.high) == (14.5, None, None)
    assert "30 origins" in interval.reason
    assert not interval.below(100.0)
    assert not interval.above(-100.0)


def test_a_constant_has_an_interval_of_no_width():
    interval = mean_interval(np.full(100, 0.25), Bootstrap(2))
    assert (interval.low, interval.high) == (0.25, 0.25)


def test_a_block_longer_than_the_series_gives_no_interval():
    assert mean_interval(np.arange(5.0), Bootstrap(100)).low is None


def test_resampled_means_are_spread_as_those_of_arch():
    values = autoregression(np.random.default_rng(10), 0.6, 503)
    peer = CircularBlockBootstrap(12, values, seed=1)
    wanted = peer.apply(np.mean, 4000)[:, 0]
    got = resampled_means(values, Bootstrap(12, num_draws=40_000))
    assert got.std() == pytest.approx(wanted.std(), rel=0.04)
    np.testing.assert_allclose(
        np.quantile(got, [0.025, 0.2, 0.5, 0.8, 0.975]),
        np.quantile(wanted, [0.025, 0.2, 0.5, 0.8, 0.975]),
        atol=0.08 * wanted.std(),
    )


def test_interval_is_that_of_arch_but_for_the_widening():
    values, block = autoregression(np.random.default_rng(11), 0.6, 600), 20
    peer = CircularBlockBootstrap(block, values, seed=2).conf_int(np.mean, 4000, method="percentile")
    got, blocks = mean_interval(values, Bootstrap(block, num_draws=20_000)), 600 / block
    wide = stats.t.ppf(0.975, blocks - 1) / stats.norm.ppf(0.975) * np.sqrt(blocks / (blocks - 1))
    assert (got.high - got.low) / wide == pytest.approx(float(peer[1, 0] - peer[0, 0]), rel=0.05)
    assert (got.high + got.low) / 2 == pytest.approx(float(peer.mean()), abs=0.02)


@pytest.mark.parametrize("values", [[], [1.0, np.nan]])
def test_values_that_have_no_mean_are_refused(values):
    with pytest.raises(DataError, match="finite values"):
        mean_interval(np.array(values, dtype=float), Bootstrap(1))


def test_blocks_grow_with_the_horizon_and_with_the_sample():
    assert block_length(1000, 24) == 72
    assert block_length(1000, 1) == 20
