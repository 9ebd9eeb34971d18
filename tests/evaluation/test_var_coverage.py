import numpy as np
import pytest
from scipy import stats

from polyscale.evaluation.var_coverage import (
    conditional_coverage,
    coverage_power,
    independence,
    unconditional_coverage,
)
from polyscale.market.errors import DataError


def exceptions(num, positions):
    return np.isin(np.arange(num), positions)


def chain(rng, num, after_none, after_one):
    """A Markov chain of exceptions, begun without one."""
    u, state = rng.random(num), np.zeros(num, dtype=bool)
    for t in range(1, num):
        state[t] = u[t] < (after_one if state[t - 1] else after_none)
    return state


@pytest.mark.parametrize("count", [0, 1, 5, 12, 499, 500])
def test_kupiec_is_the_g_test_of_scipy(count):
    peer = stats.power_divergence([count, 500 - count], [5, 495], lambda_="log-likelihood")
    got = unconditional_coverage(exceptions(500, np.arange(count)), 0.01)
    assert got.statistic == pytest.approx(peer.statistic, rel=1e-9)
    assert got.p_value == pytest.approx(peer.pvalue, rel=1e-9)


def test_christoffersen_is_the_g_test_of_the_table_of_moves():
    exceeded = chain(np.random.default_rng(0), 800, 0.04, 0.3)
    before, after = exceeded[:-1], exceeded[1:]
    table = [[np.sum((before == i) & (after == j)) for j in (False, True)] for i in (False, True)]
    peer = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")
    got = independence(exceeded)
    assert got.statistic == pytest.approx(peer.statistic, rel=1e-9)
    assert got.p_value == pytest.approx(peer.pvalue, rel=1e-9)


def test_both_tests_add_up_to_conditional_coverage():
    exceeded = chain(np.random.default_rng(1), 800, 0.04, 0.3)
    got, alone = conditional_coverage(exceeded, 0.05), independence(exceeded)
    assert got.statistic == pytest.approx(
        alone.statistic + unconditional_coverage(exceeded[1:], 0.05).statistic
    )
    assert got.p_value == pytest.approx(stats.chi2.sf(got.statistic, 2))


def test_no_exception_after_an_exception_has_a_ratio_by_hand():
    """Two exceptions apart in ten origins: moves 5, 2 after none and 2, 0 after an exception."""
    got = independence(exceptions(10, [2, 6]))
    wanted = 2 * (5 * np.log(5 / 7) + 2 * np.log(2 / 7) - 7 * np.log(7 / 9) - 2 * np.log(2 / 9))
    assert got.statistic == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("positions", "reason"),
    [([], "an exception is never"), ([9], "an exception is never"), (range(10), "an origin without")],
)
def test_where_a_state_is_followed_by_nothing_there_is_no_test(positions, reason):
    exceeded = exceptions(10, list(positions))
    for got in (independence(exceeded), conditional_coverage(exceeded, 0.05)):
        assert (got.statistic, got.p_value) == (None, None)
        assert reason in got.reason
    assert unconditional_coverage(exceeded, 0.05).statistic is not None


@pytest.mark.parametrize("true_rate", [0.005, 0.01, 0.02])
def test_exact_power_is_the_share_of_refusals_in_simulation(true_rate):
    rng, num = np.random.default_rng(2), 700
    (power,) = coverage_power(num, 0.01, [true_rate])
    refused = [unconditional_coverage(rng.random(num) < true_rate, 0.01).p_value < 0.05 for _ in range(3000)]
    assert power.true_rate == true_rate
    assert power.power == pytest.approx(np.mean(refused), abs=0.03)


def test_power_grows_with_the_sample_and_with_the_error():
    rising = [coverage_power(n, 0.01, [0.02])[0].power for n in (250, 1000, 4000)]
    assert rising == sorted(rising)
    nominal, double, triple = coverage_power(1000, 0.01, [0.01, 0.02, 0.03])
    assert nominal.power == pytest.approx(0.05, abs=0.03)
    assert nominal.power < double.power < triple.power


def test_size_of_the_tests_on_independent_exceptions():
    """At 5 % and 1000 origins there are enough exceptions for chi-square to hold."""
    rng, refused = np.random.default_rng(3), np.zeros(3)
    for _ in range(1000):
        exceeded = rng.random(1000) < 0.05
        tests = (unconditional_coverage(exceeded, 0.05), independence(exceeded))
        refused += [test.p_value < 0.05 for test in (*tests, conditional_coverage(exceeded, 0.05))]
    assert (refused / 1000 <= 0.09).all()
    assert (refused / 1000 >= 0.03).all()


def test_clusters_are_noticed_though_their_rate_is_right():
    exceeded = [chain(np.random.default_rng(s), 1000, 0.04, 0.24) for s in range(40)]
    assert np.mean([independence(e).p_value < 0.05 for e in exceeded]) > 0.85
    assert np.mean([conditional_coverage(e, 0.05).p_value < 0.05 for e in exceeded]) > 0.75


@pytest.mark.parametrize(("num", "rate"), [(0, 0.01), (10, 0.0), (10, 1.0)])
def test_what_is_no_rate_or_no_sample_is_refused(num, rate):
    with pytest.raises(DataError, match="rate between 0 and 1"):
        unconditional_coverage(np.zeros(num, dtype=bool), rate)
