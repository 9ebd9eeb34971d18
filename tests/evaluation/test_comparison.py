import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from polyscale.evaluation.bootstrap import Bootstrap
from polyscale.evaluation.comparison import Sampling, diebold_mariano, difference, long_run_variance
from polyscale.market.errors import DataError


@pytest.mark.parametrize("lag", [0, 1, 6, 36])
def test_long_run_variance_agrees_with_statsmodels(lag):
    values = np.convolve(np.random.default_rng(0).normal(0.3, 1, 523), np.ones(24), "valid")
    fit = sm.OLS(values, np.ones_like(values)).fit(
        cov_type="HAC", cov_kwds={"maxlags": lag, "kernel": "bartlett", "use_correction": False}
    )
    assert long_run_variance(values, lag) / values.size == pytest.approx(fit.cov_params()[0, 0], rel=1e-10)


def test_statistic_is_the_corrected_ratio():
    rng = np.random.default_rng(1)
    first, second = rng.chisquare(2, 400), rng.chisquare(2, 400)
    got, paired, n, h = diebold_mariano(first, second, 4), first - second, 400, 4
    raw = paired.mean() / math.sqrt(long_run_variance(paired, 8) / n)
    wanted = raw * math.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    assert got.lag == 8  # the cube root of 400 origins is more than 1.5 labels of 4
    assert diebold_mariano(first, second, 8).lag == 12
    assert got.statistic == pytest.approx(wanted)
    assert got.p_two_sided == pytest.approx(2 * stats.t.sf(abs(wanted), n - 1))
    assert got.p_one_sided == pytest.approx(stats.t.cdf(wanted, n - 1))


def through_statsmodels(paired, horizon):
    """OLS on a constant with Newey-West errors, then the factor of Harvey, Leybourne and Newbold."""
    n = paired.size
    lag = max(math.ceil(1.5 * horizon), math.ceil(n ** (1 / 3)))
    kwds = {"maxlags": lag, "kernel": "bartlett", "use_correction": False}
    z = sm.OLS(paired, np.ones(n)).fit(cov_type="HAC", cov_kwds=kwds).tvalues[0]
    statistic = z * math.sqrt((n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n)
    return statistic, stats.t(n - 1)


@pytest.mark.parametrize("horizon", [1, 4, 24])
@pytest.mark.parametrize("shift", [-0.3, 0.0, 0.3])
def test_the_whole_test_agrees_with_one_written_with_statsmodels(horizon, shift):
    rng = np.random.default_rng(6)
    first = np.convolve(rng.chisquare(2, 600), np.full(horizon, 1 / horizon), "valid") + shift
    second = np.convolve(rng.chisquare(2, 600), np.full(horizon, 1 / horizon), "valid")
    got = diebold_mariano(first, second, horizon)
    statistic, student = through_statsmodels(first - second, horizon)
    assert got.statistic == pytest.approx(statistic, rel=1e-9)
    assert got.p_two_sided == pytest.approx(2 * student.sf(abs(statistic)), rel=1e-8)
    assert got.p_one_sided == pytest.approx(student.cdf(statistic), rel=1e-8)


def test_first_with_smaller_losses_gets_a_small_one_sided_p():
    rng = np.random.default_rng(2)
    good, bad = rng.chisquare(2, 500), rng.chisquare(2, 500) + 1
    assert diebold_mariano(good, bad, 1).p_one_sided < 1e-6
    assert diebold_mariano(bad, good, 1).p_one_sided > 1 - 1e-6


@pytest.mark.parametrize("horizon", [1, 6, 24])
def test_size_on_equal_forecasts_with_overlapping_labels(horizon):
    """Under the null about one in twenty is refused, though neighbours share their labels."""
    rng, refused = np.random.default_rng(3), 0
    for _ in range(400):
        paired = np.convolve(rng.standard_normal(1200 + horizon - 1), np.ones(horizon), "valid")
        refused += diebold_mariano(paired, np.zeros(1200), horizon).p_two_sided < 0.05
    assert 0.02 <= refused / 400 <= 0.11


@pytest.mark.parametrize(("size", "shift", "reason"), [(5, 1.0, "too few"), (50, 0.1, "constant")])
def test_a_test_that_does_not_exist_is_none_with_a_reason(size, shift, reason):
    losses = np.random.default_rng(4).chisquare(2, size)
    test = diebold_mariano(losses, losses + shift, 4)
    assert (test.statistic, test.p_two_sided, test.p_one_sided) == (None, None, None)
    assert reason in test.reason


def test_horizon_below_one_is_refused():
    with pytest.raises(DataError, match="horizon 0"):
        diebold_mariano(np.ones(9), np.zeros(9), 0)


def test_adjusted_interval_is_the_wider_one():
    rng = np.random.default_rng(5)
    sampling = Sampling(1, Bootstrap(5), adjusted_level=0.99)
    got = difference(rng.chisquare(2, 500), rng.chisquare(2, 500), sampling)
    assert got.interval.mean == got.adjusted.mean
    assert got.adjusted.low < got.interval.low < got.interval.high < got.adjusted.high
