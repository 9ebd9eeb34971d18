"""Results without variance, without loss, with one trade, without downside: null, and why."""

import itertools
import math

import pytest

from polyscale.backtesting.engine import buy_and_hold, run_backtest
from tests.backtesting.market import HOUR, flat_bars, make_positions, make_settings


def rising(factor=1.01, num=30):
    closes = [100 * factor**i for i in range(num + 1)]
    return flat_bars(list(itertools.pairwise(closes)))


def check(result):
    told = result.measures()
    for name, value in told.items():
        assert value is None or math.isfinite(value), name
        assert (value is None) == (name in result.reasons), name
    return result.reasons


def test_constant_equity():
    result = run_backtest(rising(1.0), HOUR, make_positions(rising(1.0), [0.5]), make_settings(), None)
    reasons = check(result)
    assert reasons["sharpe_ratio"] == "returns do not vary"
    assert reasons["sortino_ratio"] == "no bar lost money"
    assert reasons["calmar_ratio"]
    assert reasons["win_rate"] == reasons["profit_factor"] == "no trade was closed"
    assert (result.total_return, result.max_drawdown, result.n_trades) == (0.0, 0.0, 1)


def test_one_trade_that_won():
    bars = rising()
    result = run_backtest(bars, HOUR, make_positions(bars, [0.5] * 10 + [0.0] * 20), make_settings(), None)
    reasons = check(result)
    assert reasons["profit_factor"] == "no closed trade lost money"
    assert reasons["sortino_ratio"] == "no bar lost money"
    assert (result.win_rate, result.n_trades) == (1.0, 1)
    assert result.sharpe_ratio > 0  # half of the bars are flat: returns do vary


def test_one_trade_that_lost_has_a_profit_factor_of_nothing():
    bars = rising(0.99)
    result = run_backtest(bars, HOUR, make_positions(bars, [0.5] * 10 + [0.0] * 20), make_settings(), None)
    reasons = check(result)
    assert (result.win_rate, result.profit_factor) == (0.0, 0.0)
    assert "profit_factor" not in reasons


def test_no_downside():
    result = buy_and_hold(rising(), HOUR, make_settings(), None)
    reasons = check(result)
    assert reasons["sortino_ratio"] == "no bar lost money"
    assert reasons["calmar_ratio"] == "equity never fell"
    assert result.max_drawdown == 0.0


def test_no_trades():
    result = run_backtest(rising(), HOUR, make_positions(rising(), [0.0]), make_settings(), None)
    reasons = check(result)
    assert reasons["win_rate"] == "no trade was closed"
    assert (result.exposure, result.turnover, result.n_trades) == (0.0, 0.0, 0)


@pytest.mark.parametrize("num", [2, 3])
def test_a_few_bars_have_what_they_have(num):
    check(buy_and_hold(rising(0.99, num), HOUR, make_settings(), None))
    check(buy_and_hold(rising(1.02, num), HOUR, make_settings(fee_bps=5), None))
