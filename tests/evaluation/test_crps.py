import numpy as np
import pytest
import scoringrules
from scipy import stats

from polyscale.evaluation.crps import crps, level_weights
from polyscale.market.errors import DataError

UNEVEN = np.array([0.01, 0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975, 0.99])


@pytest.mark.parametrize("num", [1, 5, 40])
def test_at_even_levels_it_is_that_of_scoringrules(num):
    rng, levels = np.random.default_rng(0), (np.arange(num) + 0.5) / num
    y, quantiles = rng.normal(size=300), rng.normal(size=(300, num))
    got = crps(y, quantiles, levels)
    np.testing.assert_allclose(got, scoringrules.crps_quantile(y, quantiles, levels), rtol=1e-12)


def test_many_uneven_levels_approach_the_closed_form_of_a_normal():
    rng = np.random.default_rng(1)
    levels = stats.norm.cdf(np.linspace(-6, 6, 4001))
    y, sigma = 0.02 * rng.standard_t(4, size=300), np.exp(rng.normal(-4, 0.3, 300))
    got = crps(y, sigma[:, None] * stats.norm.ppf(levels), levels)
    np.testing.assert_allclose(got, scoringrules.crps_normal(y, np.zeros(300), sigma), rtol=1e-4)


def test_a_few_levels_see_the_stated_share_of_the_score():
    rng, levels = np.random.default_rng(2), np.array([0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975])
    y = rng.normal(size=200_000)
    got = crps(y, np.broadcast_to(stats.norm.ppf(levels), (y.size, 7)), levels).mean()
    assert got * np.sqrt(np.pi) == pytest.approx(0.97, abs=0.005)


def test_the_score_is_least_at_the_true_quantiles_of_uneven_levels():
    rng = np.random.default_rng(3)
    y, truth = rng.normal(size=100_000), stats.norm.ppf(UNEVEN)

    def mean(quantiles):
        return crps(y, np.broadcast_to(quantiles, (y.size, UNEVEN.size)), UNEVEN).mean()

    for k in range(UNEVEN.size):
        for step in (-0.15, 0.15):
            moved = truth + step * (np.arange(UNEVEN.size) == k)
            assert mean(moved) > mean(truth)


def test_the_score_has_the_unit_of_the_return():
    rng = np.random.default_rng(4)
    y, quantiles = rng.normal(size=(20, 3)), rng.normal(size=(20, 3, UNEVEN.size))
    np.testing.assert_allclose(crps(100 * y, 100 * quantiles, UNEVEN), 100 * crps(y, quantiles, UNEVEN))


def test_weights_are_the_cells_about_the_levels():
    np.testing.assert_allclose(level_weights(np.array([0.1, 0.5, 0.6])), [0.3, 0.25, 0.45])
    assert level_weights(UNEVEN).sum() == pytest.approx(1.0)


@pytest.mark.parametrize("levels", [[], [0.0, 0.5], [0.5, 1.0], [0.5, 0.5], [0.9, 0.1], [np.nan, 0.5]])
def test_levels_that_are_none_are_refused(levels):
    with pytest.raises(DataError, match="levels must rise"):
        level_weights(np.array(levels, dtype=float))


def test_a_level_for_each_quantile():
    with pytest.raises(DataError, match="got 2 for 3"):
        crps(np.zeros(4), np.zeros((4, 3)), np.array([0.1, 0.9]))
