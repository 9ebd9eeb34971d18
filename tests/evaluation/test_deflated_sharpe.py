import numpy as np
import pytest
from scipy import integrate, stats

from polyscale.evaluation.deflated_sharpe import expected_max_sharpe, probabilistic_sharpe, score_sharpe
from polyscale.market.errors import DataError


def test_the_example_of_the_paper():
    """Bailey and Lopez de Prado 2014: 2.5 a year in five years of days, 100 trials, variance 1/2."""
    best = expected_max_sharpe(100, 0.5 / 250)
    assert best == pytest.approx(0.1132, abs=5e-5)
    assert probabilistic_sharpe(2.5 / 250**0.5, 1250, -3, 10, best) == pytest.approx(0.9004, abs=5e-5)
    fewer = expected_max_sharpe(46, 0.5 / 250)
    assert probabilistic_sharpe(2.5 / 250**0.5, 1250, -3, 10, fewer) == pytest.approx(0.9505, abs=5e-5)
    normal = expected_max_sharpe(88, 0.5 / 250)
    assert probabilistic_sharpe(2.5 / 250**0.5, 1250, 0, 3, normal) == pytest.approx(0.9505, abs=5e-4)


@pytest.mark.parametrize("num", [5, 10, 100, 1000])
def test_expected_maximum_is_near_the_exact_one_of_normals(num):
    exact = integrate.quad(
        lambda x: x * num * stats.norm.pdf(x) * stats.norm.cdf(x) ** (num - 1), -10, 10, limit=200
    )[0]
    assert expected_max_sharpe(num, 0.04) == pytest.approx(0.2 * exact, rel=0.04)


@pytest.mark.parametrize("draw", ["normal", "crashes"])
def test_the_probability_is_uniform_where_the_benchmark_is_the_truth(draw):
    rng = np.random.default_rng(0)
    shape = (3000, 500)
    if draw == "normal":
        returns, truth = 0.2 + rng.standard_normal(shape), 0.2
    else:
        returns, truth = 1.2 - rng.exponential(size=shape), 0.2
    sharpe = returns.mean(axis=1) / returns.std(axis=1, ddof=1)
    moments = zip(
        sharpe, stats.skew(returns, axis=1), stats.kurtosis(returns, axis=1, fisher=False), strict=True
    )
    found = [probabilistic_sharpe(s, 500, g, k, truth) for s, g, k in moments]
    assert stats.kstest(found, "uniform").statistic < 0.035


def test_the_best_of_many_without_skill_is_not_claimed():
    """Of the best of fifty nearly every one passes the plain test, and hardly one the deflated."""
    rng, plain, deflated = np.random.default_rng(1), 0, 0
    for _ in range(200):
        trials = rng.standard_normal((50, 250))
        sharpes = trials.mean(axis=1) / trials.std(axis=1, ddof=1)
        got = score_sharpe(trials[sharpes.argmax()], 50, float(sharpes.var(ddof=1)))
        plain += got.probabilistic > 0.95
        deflated += got.deflated > 0.95
    assert plain / 200 > 0.8
    assert deflated / 200 < 0.05


def test_without_the_trials_variance_it_is_that_of_chance():
    returns = np.random.default_rng(2).normal(0.1, 1.0, 501)
    assert score_sharpe(returns, 20, None) == score_sharpe(returns, 20, 1 / 500)
    assert score_sharpe(returns, 20, None).deflated < score_sharpe(returns, 20, None).probabilistic


def test_a_single_trial_is_not_deflated():
    got = score_sharpe(np.random.default_rng(3).normal(0.1, 1.0, 300), 1, None)
    assert got.deflated == got.probabilistic
    assert got.expected_max == 0.0


@pytest.mark.parametrize(("returns", "reason"), [(np.arange(29.0), "29 periods"), (np.ones(40), "vary")])
def test_where_there_is_no_ratio_there_is_a_reason(returns, reason):
    got = score_sharpe(returns, 3, None)
    assert (got.sharpe, got.probabilistic, got.deflated) == (None, None, None)
    assert reason in got.reason


def test_what_is_no_trial_or_no_return_is_refused():
    with pytest.raises(DataError, match="num_trials"):
        score_sharpe(np.arange(40.0), 0, None)
    with pytest.raises(DataError, match="variance"):
        expected_max_sharpe(3, -1.0)
    with pytest.raises(DataError, match="finite"):
        score_sharpe(np.array([np.nan]), 1, None)
    with pytest.raises(DataError, match="kurtosis"):
        probabilistic_sharpe(1.0, 100, 5.0, 3.0)
