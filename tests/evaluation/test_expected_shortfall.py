import numpy as np
import pytest
from scipy import integrate, stats

from polyscale.evaluation.expected_shortfall import exceedance_residuals, fissler_ziegel
from polyscale.market.errors import DataError

LEVEL = 0.05
VAR = stats.norm.ppf(LEVEL)
ES = -stats.norm.pdf(VAR) / LEVEL  # closed form: the mean of a standard normal below its quantile


def expected_loss(v, e):
    def integrand(y):
        return fissler_ziegel(np.array([y]), np.array([v]), np.array([e]), LEVEL)[0] * stats.norm.pdf(y)

    return integrate.quad(integrand, -10, v, limit=200)[0] + integrate.quad(integrand, v, 10, limit=200)[0]


def simulated(seed, num_samples, shortfall):
    """Tests of a forecast of standard normal returns, about 20 exceedances in each sample."""
    rng, v, e = np.random.default_rng(seed), np.full(400, VAR), np.full(400, shortfall)
    return [exceedance_residuals(rng.normal(size=400), v, e, num_draws=400) for _ in range(num_samples)]


def test_expected_loss_at_the_truth_is_the_log_of_the_shortfall():
    assert expected_loss(VAR, ES) == pytest.approx(np.log(-ES), abs=1e-7)


@pytest.mark.parametrize(("dv", "de"), [(0.2, 0.0), (-0.2, 0.0), (0.0, 0.2), (0.0, -0.4), (-0.3, -0.3)])
def test_expected_loss_is_least_at_the_truth(dv, de):
    assert expected_loss(VAR + dv, ES + de) > expected_loss(VAR, ES) + 1e-4


def test_differences_of_the_loss_do_not_change_with_the_unit():
    rng = np.random.default_rng(0)
    y, v, e = rng.normal(size=50), np.full(50, VAR), np.full(50, ES)

    def gap(unit):
        return fissler_ziegel(unit * y, unit * v, unit * e, LEVEL) - fissler_ziegel(
            unit * y, 1.1 * unit * v, 1.2 * unit * e, LEVEL
        )

    np.testing.assert_allclose(gap(100.0), gap(1.0), atol=1e-12)


def test_size_of_the_shortfall_test_on_true_forecasts():
    found = simulated(1, 400, ES)
    found = [test for test in found if test.p_two_sided is not None]
    assert len(found) > 390
    assert 0.02 <= np.mean([test.p_two_sided < 0.05 for test in found]) <= 0.09
    assert 0.02 <= np.mean([test.p_one_sided < 0.05 for test in found]) <= 0.10


def test_losses_worse_than_said_are_noticed():
    found = simulated(2, 60, 1.1 * VAR)
    assert np.mean([test.p_one_sided < 0.05 for test in found]) > 0.5
    assert np.mean([test.mean_residual for test in found]) == pytest.approx(ES / (1.1 * -VAR) + 1, abs=0.01)


def test_losses_milder_than_said_are_noticed_by_the_two_sided_test_alone():
    found = simulated(3, 60, 1.4 * ES)
    assert np.mean([test.p_two_sided < 0.05 for test in found]) > 0.9
    assert np.mean([test.p_one_sided < 0.05 for test in found]) == 0.0


def test_too_few_exceedances_give_a_reason():
    y = np.r_[np.full(3, 2.0 * VAR), np.zeros(97)]
    got = exceedance_residuals(y, np.full(100, VAR), np.full(100, ES))
    assert (got.p_two_sided, got.p_one_sided, got.num_exceedances) == (None, None, 3)
    assert "3 exceedances" in got.reason
    assert got.mean_residual == pytest.approx((2.0 * VAR - ES) / -ES)
    assert exceedance_residuals(np.zeros(9), np.full(9, VAR), np.full(9, ES)).mean_residual is None


def test_residuals_without_spread_give_a_reason():
    got = exceedance_residuals(np.full(20, -2.0), np.full(20, VAR), np.full(20, ES))
    assert got.p_two_sided is None
    assert "the same" in got.reason


def test_same_seed_same_test():
    y, v, e = np.random.default_rng(4).normal(size=400), np.full(400, VAR), np.full(400, ES)
    assert exceedance_residuals(y, v, e, seed=1) == exceedance_residuals(y, v, e, seed=1)


@pytest.mark.parametrize(("v", "e"), [(-1.0, 0.1), (-1.0, 0.0), (-2.0, -1.0), (np.nan, -1.0)])
def test_forecasts_that_are_none_are_refused(v, e):
    with pytest.raises(DataError, match="got 1 of 1"):
        fissler_ziegel(np.zeros(1), np.array([v]), np.array([e]), LEVEL)
