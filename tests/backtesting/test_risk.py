"""Risk against closed forms, and the reasons of what does not exist; empyrical is in a file of its own."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyscale.backtesting import measures, risk
from polyscale.backtesting.measures import Absent
from polyscale.market.errors import DataError
from polyscale.market.timeframe import Timeframe

DAY = Timeframe(1440)
EQUITIES = st.lists(st.floats(0.01, 1e6), min_size=2, max_size=60).map(np.array)


def equity_of(returns):
    return 1e4 * np.cumprod(np.concatenate([[1.0], 1.0 + np.asarray(returns)]))


# -0.10, -0.09, ..., 0.10 in an order of no meaning
RETURNS = np.random.default_rng(0).permutation(np.arange(-10, 11)) / 100
RAMP = equity_of(RETURNS)


@pytest.mark.parametrize(
    ("cutoff", "value_at_risk", "shortfall"),
    [(0.05, 0.09, 0.095), (0.1, 0.08, 0.09), (0.075, 0.085, 0.095), (0.5, 0.0, 0.05)],
)
def test_tails_of_evenly_spaced_returns(cutoff, value_at_risk, shortfall):
    assert risk.value_at_risk(RAMP, cutoff) == pytest.approx(value_at_risk, abs=1e-12)
    assert risk.expected_shortfall(RAMP, cutoff) == pytest.approx(shortfall, abs=1e-12)


def test_equity_at_rest_risks_nothing_and_not_minus_nothing():
    idle = np.full(50, 1e4)
    assert str(risk.value_at_risk(idle)) == str(risk.expected_shortfall(idle)) == "0.0"


def test_a_tail_that_gains_is_a_negative_loss():
    equity = equity_of(np.arange(1, 22) / 100)
    assert risk.value_at_risk(equity) == pytest.approx(-0.02, abs=1e-12)
    assert risk.expected_shortfall(equity) == pytest.approx(-0.015, abs=1e-12)


def test_spreads_equal_their_closed_forms():
    assert risk.annual_volatility(RAMP, DAY) == pytest.approx(math.sqrt(0.077 / 20 * 365), rel=1e-9)
    assert risk.downside_deviation(RAMP, DAY) == pytest.approx(math.sqrt(0.0385 / 21 * 365), rel=1e-9)
    assert risk.tail_ratio(RAMP) == pytest.approx(1.0, rel=1e-9)
    assert risk.tail_ratio(equity_of(np.where(RETURNS > 0, 2.0, 1.0) * RETURNS)) == pytest.approx(2.0)


def test_ratios_of_a_backtest_are_over_these_spreads():
    yearly = measures.returns(RAMP).mean() * 365
    volatility, downside = risk.annual_volatility(RAMP, DAY), risk.downside_deviation(RAMP, DAY)
    assert measures.sharpe_ratio(RAMP, DAY) == pytest.approx(yearly / volatility, rel=1e-9)
    assert measures.sortino_ratio(RAMP, DAY) == pytest.approx(yearly / downside, rel=1e-9)


def test_a_finer_timeframe_has_more_periods_in_its_year():
    ratio = risk.annual_volatility(RAMP, Timeframe(60)) / risk.annual_volatility(RAMP, DAY)
    assert ratio == pytest.approx(math.sqrt(24))


def test_drawdown_of_each_bar_and_the_longest_stay_below():
    equity = np.array([100.0, 90.0, 95.0, 100.0, 120.0, 60.0, 119.0, 110.0, 120.0, 119.0])
    wanted = [0.0, 0.1, 0.05, 0.0, 0.0, 0.5, 1 / 120, 10 / 120, 0.0, 1 / 120]
    np.testing.assert_allclose(risk.drawdowns(equity), wanted, atol=1e-15)
    assert risk.longest_drawdown(equity) == 3
    assert risk.longest_drawdown(equity[:4]) == 2


def test_a_stay_below_that_has_not_ended_counts_as_far_as_it_goes():
    assert risk.longest_drawdown(np.array([100.0, 110.0, 90.0, 80.0, 109.9])) == 3
    assert risk.longest_drawdown(np.array([100.0, 0.0, 0.0, 0.0])) == 3


@pytest.mark.parametrize("growth", [1.0, 1.001])
def test_equity_that_never_falls_is_never_under_water(growth):
    equity = 1e4 * growth ** np.arange(100)
    assert not risk.drawdowns(equity).any()
    assert risk.longest_drawdown(equity) == 0
    assert risk.downside_deviation(equity, DAY) == 0.0
    assert risk.annual_volatility(equity, DAY) == pytest.approx(0.0, abs=1e-12)


@settings(deadline=None)
@given(EQUITIES)
def test_the_deepest_and_the_longest_agree_with_counting(equity):
    peak, deepest, run, longest = equity[0], 0.0, 0, 0
    for value in equity:
        peak = max(peak, value)
        deepest = max(deepest, 1.0 - value / peak)
        run = run + 1 if 1.0 - value / peak > 1e-14 else 0
        longest = max(longest, run)
    assert risk.drawdowns(equity).max() == measures.max_drawdown(equity) == deepest
    assert risk.longest_drawdown(equity) == longest


@settings(deadline=None)
@given(EQUITIES, st.integers(1, 60))
def test_drawdowns_know_nothing_of_later_bars(equity, num):
    np.testing.assert_array_equal(risk.drawdowns(equity[:num]), risk.drawdowns(equity)[:num])


@settings(deadline=None)
@given(st.lists(st.floats(-0.9, 2.0), min_size=20, max_size=80).map(equity_of), st.floats(0.05, 0.9))
def test_shortfall_is_at_least_the_value_at_risk_and_both_fall_with_the_cutoff(equity, cutoff):
    at_risk, shortfall = risk.value_at_risk(equity, cutoff), risk.expected_shortfall(equity, cutoff)
    assert shortfall >= at_risk - 1e-12
    assert risk.value_at_risk(equity, cutoff + 0.05) <= at_risk + 1e-12
    assert risk.expected_shortfall(equity, cutoff + 0.05) <= shortfall + 1e-12


def test_a_tail_of_less_than_one_return_is_absent():
    short = equity_of([0.1, -0.1] * 9 + [0.1])
    reason = Absent("19 returns have less than one in a tail of 0.05")
    assert risk.value_at_risk(short) == risk.expected_shortfall(short) == risk.tail_ratio(short) == reason
    assert risk.value_at_risk(equity_of([0.1, -0.1] * 10)) == pytest.approx(0.1)
    assert isinstance(risk.value_at_risk(np.array([1e4])), Absent)


def test_one_return_has_no_spread():
    assert risk.annual_volatility(np.array([100.0, 99.0]), DAY) == Absent("fewer than two returns")
    assert risk.downside_deviation(np.array([100.0, 99.0]), DAY) == Absent("fewer than two returns")


def test_tails_without_loss_or_gain_have_no_ratio():
    idle = np.zeros(100)
    idle[50] = -0.1
    assert risk.tail_ratio(equity_of(idle)) == Absent("fewer than one bar in twenty lost money")
    assert risk.tail_ratio(equity_of(np.full(30, -0.01))) == Absent("fewer than one bar in twenty made money")
    assert risk.tail_ratio(equity_of([-0.1] * 5 + [0.0] * 30)) == 0.0


@pytest.mark.parametrize("cutoff", [0.0, 1.0, math.nan])
def test_a_cutoff_that_is_no_share_is_refused(cutoff):
    with pytest.raises(DataError, match="cutoff"):
        risk.value_at_risk(RAMP, cutoff)
    with pytest.raises(DataError, match="cutoff"):
        risk.expected_shortfall(RAMP, cutoff)
