"""Measures against closed forms, and the reasons of those that do not exist."""

import math

import numpy as np
import pytest

from polyscale.backtesting import measures
from polyscale.backtesting.measures import Absent
from polyscale.market.timeframe import Timeframe

DAY = Timeframe(1440)
EQUITY = np.array([100.0, 110.0, 99.0, 108.9])  # returns 0.1, -0.1, 0.1


def test_ratios_equal_their_closed_forms():
    mean = 0.1 / 3
    sd = math.sqrt(((0.1 - mean) ** 2 * 2 + (-0.1 - mean) ** 2) / 2)
    assert measures.sharpe_ratio(EQUITY, DAY) == pytest.approx(mean / sd * math.sqrt(365), rel=1e-9)
    downside = math.sqrt(0.01 / 3)
    assert measures.sortino_ratio(EQUITY, DAY) == pytest.approx(mean / downside * math.sqrt(365), rel=1e-9)
    assert measures.max_drawdown(EQUITY) == pytest.approx(0.1, rel=1e-12)
    assert measures.total_return(EQUITY) == pytest.approx(0.089, rel=1e-12)
    assert measures.calmar_ratio(EQUITY, DAY) == pytest.approx((1.089 ** (365 / 3) - 1) / 0.1, rel=1e-9)


def test_a_finer_timeframe_has_more_periods_in_its_year():
    assert measures.periods_per_year(Timeframe(5)) == 365 * 288
    ratio = measures.sharpe_ratio(EQUITY, Timeframe(60)) / measures.sharpe_ratio(EQUITY, DAY)
    assert ratio == pytest.approx(math.sqrt(24))


def test_trades_are_weighed_by_money_and_counted_by_sign():
    net_pnl = np.array([30.0, -10.0, 0.0, -5.0])
    assert measures.win_rate(net_pnl) == 0.25
    assert measures.profit_factor(net_pnl) == 2.0


@pytest.mark.parametrize("growth", [1.0, 1.001])
def test_constant_growth_has_no_sharpe_ratio(growth):
    equity = 1e4 * growth ** np.arange(100)
    assert measures.sharpe_ratio(equity, DAY) == Absent("returns do not vary")
    assert measures.sortino_ratio(equity, DAY) == Absent("no bar lost money")
    assert measures.calmar_ratio(equity, DAY) == Absent("equity never fell")


def test_a_minute_is_not_blown_up_to_a_year():
    equity = np.array([100.0, 99.0, 110.0])
    assert measures.calmar_ratio(equity, Timeframe(1)) == Absent("too few bars to speak of a year")


def test_no_trades_have_no_win_rate():
    assert measures.win_rate(np.array([])) == Absent("no trade was closed")
    assert measures.profit_factor(np.array([])) == Absent("no trade was closed")


def test_after_ruin_returns_are_zero():
    equity = np.array([100.0, 0.0, 0.0])
    assert measures.returns(equity).tolist() == [-1.0, 0.0]
    assert measures.annual_return(equity, DAY) == -1.0
    assert measures.exposure(np.array([0.0, 50.0, 0.0]), np.array([100.0, 100.0, 0.0])) == 0.25
