"""Measures and risk of random equity against those of empyrical."""

import empyrical
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from polyscale.backtesting import measures, risk
from polyscale.market.timeframe import Timeframe

TIMEFRAMES = st.sampled_from([Timeframe(15), Timeframe(60), Timeframe(1440), Timeframe(10_080)])
CUTOFFS = st.sampled_from([0.01, 0.05, 0.1, 0.333, 0.5])


def to_equity(returns):
    return 1e4 * np.cumprod(np.concatenate([[1.0], 1.0 + returns]))


def random_walk(seed):
    """Fat tails, a drift of either sign, days without a trade."""
    rng = np.random.default_rng(seed)
    returns = rng.uniform(-0.002, 0.002) + 0.01 * rng.standard_t(3, size=int(rng.integers(100, 900)))
    return to_equity(np.where(rng.random(returns.size) < 0.3, 0.0, np.clip(returns, -0.5, 0.5)))


# Hypothesis finds the odd ones: constants, single jumps, ties, next to nothing.
EQUITIES = st.one_of(
    arrays(np.float64, st.integers(100, 150), elements=st.floats(-0.5, 0.5)).map(to_equity),
    st.integers(0, 10_000).map(random_walk),
)


def bare(equity):
    return empyrical.simple_returns(equity)


def same(value):
    return pytest.approx(value, rel=1e-9, abs=1e-12)


@settings(deadline=None)
@given(EQUITIES)
def test_returns_and_total_return(equity):
    np.testing.assert_allclose(measures.returns(equity), bare(equity), rtol=1e-9, atol=1e-15)
    assert measures.total_return(equity) == same(empyrical.cum_returns_final(bare(equity)))


@settings(deadline=None)
@given(EQUITIES, TIMEFRAMES)
def test_ratios_of_mean_and_spread(equity, timeframe):
    year, r = measures.periods_per_year(timeframe), bare(equity)
    assume(r.std() > 1e-9)
    assert measures.sharpe_ratio(equity, timeframe) == same(empyrical.sharpe_ratio(r, annualization=year))
    assume(r.min() < -1e-9)
    assert measures.sortino_ratio(equity, timeframe) == same(empyrical.sortino_ratio(r, annualization=year))


@settings(deadline=None)
@given(EQUITIES)
def test_drawdowns(equity):
    wanted = np.concatenate([[0.0], -empyrical.stats.drawdown_series(bare(equity))])
    np.testing.assert_allclose(risk.drawdowns(equity), wanted, rtol=1e-9, atol=1e-12)
    assert measures.max_drawdown(equity) == same(-empyrical.max_drawdown(bare(equity)))


@settings(deadline=None)
@given(EQUITIES)
def test_annual_return_and_calmar_ratio(equity):
    day, r = Timeframe(1440), bare(equity)
    assert measures.annual_return(equity, day) == same(empyrical.annual_return(r, annualization=365))
    assume(measures.max_drawdown(equity) > 1e-6)
    assert measures.calmar_ratio(equity, day) == same(empyrical.calmar_ratio(r, annualization=365))


@settings(deadline=None)
@given(EQUITIES, CUTOFFS)
def test_tails(equity, cutoff):
    r = bare(equity)
    assert risk.value_at_risk(equity, cutoff) == same(-empyrical.value_at_risk(r, cutoff))
    assert risk.expected_shortfall(equity, cutoff) == same(-empyrical.conditional_value_at_risk(r, cutoff))


@settings(deadline=None)
@given(EQUITIES)
def test_tail_ratio_where_one_tail_loses_and_the_other_gains(equity):
    r = bare(equity)
    assume(np.quantile(r, 0.05) < -1e-6 and np.quantile(r, 0.95) >= 0.0)
    assert risk.tail_ratio(equity) == same(empyrical.tail_ratio(r))


@settings(deadline=None)
@given(EQUITIES, TIMEFRAMES)
def test_spreads_over_a_year(equity, timeframe):
    year, r = measures.periods_per_year(timeframe), bare(equity)
    assert risk.annual_volatility(equity, timeframe) == same(
        empyrical.annual_volatility(r, annualization=year)
    )
    assert risk.downside_deviation(equity, timeframe) == same(empyrical.downside_risk(r, annualization=year))
