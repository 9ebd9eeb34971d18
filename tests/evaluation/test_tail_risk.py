import numpy as np
import pytest
from scipy import stats

from polyscale.evaluation.bootstrap import Bootstrap
from polyscale.evaluation.tail_risk import score_tail_risk
from polyscale.market.errors import DataError

SETUP = Bootstrap(20, num_draws=300)
LEVEL = 0.01
VAR = stats.norm.ppf(LEVEL)
ES = -stats.norm.pdf(VAR) / LEVEL


def market(num=2000, seed=0):
    """Returns of a changing volatility that is known."""
    rng = np.random.default_rng(seed)
    sigma = 0.01 * np.exp(np.sin(np.arange(num) / 50))
    return sigma * rng.standard_normal(num), sigma


def test_true_forecasts_are_not_refused_and_figures_are_counts():
    y, sigma = market()
    got = score_tail_risk(y, VAR * sigma, ES * sigma, LEVEL, SETUP)
    assert got.num_exceptions == (y <= VAR * sigma).sum()
    assert got.share == got.num_exceptions / 2000
    assert got.refused == ()
    assert [p.true_rate for p in got.kupiec_power] == pytest.approx([0.005, 0.01, 0.02])
    assert got.kupiec_power[2].power > 0.9
    assert got.shortfall.test.num_exceedances == got.num_exceptions
    assert got.shortfall.loss.low < np.log(-ES * sigma).mean() < got.shortfall.loss.high


def test_a_value_at_risk_that_ignores_volatility_is_refused():
    y, _ = market(8000)
    flat = np.full(8000, np.quantile(y, 0.05))
    got = score_tail_risk(y, flat, None, 0.05, SETUP)
    assert "Kupiec" not in got.refused
    assert "independence" in got.refused
    assert got.shortfall is None


def test_forecasts_too_mild_are_refused_by_rate_and_shortfall():
    y, sigma = market()
    got = score_tail_risk(y, 0.7 * VAR * sigma, 0.7 * VAR * 1.02 * sigma, LEVEL, SETUP)
    assert {"Kupiec", "conditional coverage", "shortfall"} <= set(got.refused)


def test_the_better_forecast_has_the_smaller_loss():
    y, sigma = market(4000)
    good = score_tail_risk(y, VAR * sigma, ES * sigma, LEVEL, SETUP).shortfall.loss.mean
    flat = np.full(4000, np.sqrt(np.mean(sigma**2)))
    assert good < score_tail_risk(y, VAR * flat, ES * flat, LEVEL, SETUP).shortfall.loss.mean


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(DataError, match="got 3 and 2"):
        score_tail_risk(np.zeros(3), np.zeros(2), None, LEVEL, SETUP)
    with pytest.raises(DataError, match="finite"):
        score_tail_risk(np.array([np.nan]), np.zeros(1), None, LEVEL, SETUP)
    with pytest.raises(DataError, match=">= 1 origin"):
        score_tail_risk(np.zeros(0), np.zeros(0), None, LEVEL, SETUP)
