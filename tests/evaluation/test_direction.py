import numpy as np
import pytest
from scipy import stats
from sklearn.calibration import calibration_curve

from polyscale.evaluation.bootstrap import Bootstrap
from polyscale.evaluation.comparison import Sampling
from polyscale.evaluation.direction import score_direction
from polyscale.evaluation.trade_value import trade_value
from polyscale.market.errors import DataError

SAMPLING = Sampling(4, Bootstrap(15, num_draws=500), adjusted_level=0.9875)


def market(num=2000, skill=1.0, seed=0):
    """Probabilities that are true where skill is 1 and say nothing where it is 0."""
    rng = np.random.default_rng(seed)
    prob = rng.beta(20, 20, num)
    up = rng.random(num) < 0.5 + skill * (prob - 0.5)
    return np.where(up, 1, -1) * np.abs(rng.normal(0, 0.01, num)), prob


def test_calibration_error_is_that_of_scikit_learns_bins():
    returns, prob = market(skill=0.3)
    observed, said = calibration_curve(returns > 0, prob, n_bins=10, strategy="quantile")
    got = score_direction(returns, prob, SAMPLING)
    assert got.calibration_error == pytest.approx(np.abs(observed - said).mean(), rel=1e-9)
    np.testing.assert_allclose([b.observed_frequency for b in got.reliability], observed)


def test_information_coefficient_counts_zero_returns_and_hit_rate_does_not():
    returns, prob = market()
    returns[:200] = 0.0
    got = score_direction(returns, prob, SAMPLING)
    assert got.information_coefficient.mean == pytest.approx(stats.spearmanr(prob, returns).statistic)
    assert (got.num_origins, got.num_zero, got.num_independent) == (1800, 200, 450)
    assert got.trade.num_trades == 2000


def test_a_probability_that_never_moves_has_neither_rank_nor_trade():
    returns, _ = market()
    got = score_direction(returns, np.full(2000, 0.5), SAMPLING)
    assert (got.information_coefficient, got.information_coefficient_adjusted, got.trade) == (None,) * 3
    assert got.claims(100) == ()


def test_true_probabilities_may_be_claimed_if_labels_are_enough():
    got = score_direction(*market(8000), SAMPLING)
    assert got.claims(100) == ("hit rate", "information coefficient", "gross per trade")
    assert got.claims(2001) == ()


def test_nothing_is_claimed_whose_adjusted_interval_holds_no_skill():
    found = [score_direction(*market(800, skill=0.0, seed=s), SAMPLING) for s in range(60)]
    assert sum(bool(score.claims(100)) for score in found) <= 4
    for score in found:
        ranked = score.information_coefficient_adjusted.low > 0
        assert ("information coefficient" in score.claims(100)) == ranked


def test_a_forecast_that_is_wrong_for_sure_is_not_claimed():
    returns, prob = market(8000)
    assert score_direction(returns, 1 - prob, SAMPLING).claims(100) == ()


def test_a_trade_earns_its_side_of_the_return():
    returns, side = np.array([0.01, -0.02, 0.03, 0.0, 0.5]), np.array([1.0, -1.0, -1.0, 1.0, 0.0])
    got = trade_value(returns, side, Bootstrap(1), 0.99)
    assert got.num_trades == 4
    assert got.gross_bps.mean == pytest.approx(0.0, abs=1e-9)
    assert got.mean_move_bps == pytest.approx(150.0)
    assert trade_value(returns, np.zeros(5), Bootstrap(1), 0.99) is None


def test_the_break_even_hit_rate_pays_the_cost_exactly():
    """Hits and misses of one size, as many hits as it says: the mean is the cost."""
    returns = np.full(1000, 0.004)
    rate = trade_value(returns, np.ones(1000), Bootstrap(1), 0.99).break_even_hit_rate(8.0)
    assert rate == pytest.approx(0.6)
    side = np.where(np.arange(1000) < 600, 1.0, -1.0)
    assert trade_value(returns, side, Bootstrap(1), 0.99).net_bps(8.0) == pytest.approx(0.0, abs=1e-9)


def test_a_cost_above_the_mean_move_is_paid_by_no_hit_rate():
    got = trade_value(np.full(100, 0.0005), np.ones(100), Bootstrap(1), 0.99)
    assert got.break_even_hit_rate(11.0) is None
    assert got.break_even_hit_rate(5.0) == pytest.approx(1.0)
    assert trade_value(np.zeros(9), np.ones(9), Bootstrap(1), 0.99).break_even_hit_rate(0.0) == 0.5
    with pytest.raises(DataError, match="got -1"):
        got.break_even_hit_rate(-1.0)


def test_a_trade_pays_when_its_interval_is_above_the_cost():
    rng = np.random.default_rng(1)
    returns = rng.normal(0.002, 0.01, 2000)
    got = trade_value(returns, np.ones(2000), Bootstrap(10), 0.99)
    assert got.gross_bps.mean == pytest.approx(1e4 * returns.mean())
    assert got.gross_bps_adjusted.low < got.gross_bps.low < got.gross_bps.high < got.gross_bps_adjusted.high
    assert got.pays(got.gross_bps_adjusted.low - 0.01)
    assert not got.pays(got.gross_bps_adjusted.low + 0.01)
