"""A study is what its parts say of the strategy that is traded: each is asked again, by itself."""

from dataclasses import replace

import numpy as np
import pytest

import polyscale
from polyscale.evaluation.bootstrap import Bootstrap, block_length
from polyscale.evaluation.settings import EvaluationSettings
from polyscale.evaluation.trade_order import shuffle_trades
from polyscale.evaluation.trading.by_period import returns_by
from polyscale.evaluation.trading.compare import COMBINED, HOLD, MANAGED, trade_returns
from polyscale.evaluation.trading.periods import by_hour, by_month, by_regime
from polyscale.evaluation.trading.study import strategy_sets
from polyscale.market.timeframe import Timeframe
from polyscale.strategy.decide import decide
from polyscale.strategy.managed import ManagedSettings, volatility_managed
from polyscale.strategy.settings import StrategySettings
from tests.backtesting.market import HOUR
from tests.evaluation.trading.market import costs, open_market
from tests.strategy.test_portfolio import forecast_of, hourly, walk

H4, DAY = Timeframe(240), Timeframe(1440)
NUM = 24 * 40
RULES = StrategySettings(horizon="4h", confidence=0.5, edge_over_cost=0.0, sizing="fixed")
JUDGED = EvaluationSettings(num_bootstrap=200, num_random=20, other_trials=7, seed=3)
ACCOUNT = costs()


@pytest.fixture(scope="module")
def market():
    """Forecasts at every third close, midnight among them; each horizon's volatility goes its own way."""
    bars, rng = hourly(walk(1, NUM)), np.random.default_rng(2)
    whole = forecast_of(bars, np.clip(0.5 + 0.1 * rng.normal(size=NUM), 0.01, 0.99))
    volatility = np.exp(rng.normal(size=(NUM, 2))) * [0.01, 0.03]
    drift = np.sign(whole.prob_up - 0.5) * rng.uniform(0, 0.003, (NUM, 1))
    known = replace(whole, volatility=volatility, expected_return=drift, quantiles=drift[:, :, None])
    return known.at(np.arange(2, NUM, 3)), bars


@pytest.fixture(scope="module")
def study(market):
    forecast, bars = market
    return polyscale.study_strategy(forecast, bars, "1h", RULES, ACCOUNT, judged=JUDGED, symbol="A")


def spanned(market):
    forecast, bars = market
    return forecast, bars[2 : 3 * len(forecast)]


def test_what_is_judged_is_the_strategy_that_is_traded_and_all_trials_count(study):
    daily = returns_by(study.line.result, DAY)
    found = study.significance
    assert found.chosen == 0
    assert found.sharpe.sharpe == pytest.approx(daily.mean() / daily.std(ddof=1))
    assert found.sharpe.num_trials == 1 + 2 * 4 * 3 * 3 + 7


def test_sets_of_rules_ask_for_an_edge_over_the_costs_that_they_pay(study, market):
    forecast, bars = spanned(market)
    exchange = open_market(ACCOUNT, HOUR, A=bars)
    ratios = []
    for rules in [RULES, *strategy_sets(RULES, forecast.horizons)]:
        positions = decide(forecast, rules, ACCOUNT.round_trip_cost, bars)
        daily = returns_by(exchange.run({"A": positions}, ACCOUNT), DAY)
        ratios.append(daily.mean() / daily.std(ddof=1) if daily.any() else np.nan)
    assert study.significance.trial_variance == pytest.approx(np.nanvar(ratios, ddof=1))


def test_parts_are_held_against_holding_and_regimes_are_known_at_the_close_before(study, market):
    forecast, bars = spanned(market)
    newest = np.arange(len(bars)) // 3  # forecasts are three bars apart
    calm = forecast.volatility[newest, forecast.horizon_index(H4)]
    bootstrap = Bootstrap(block_length(len(bars), 4), JUDGED.confidence, JUDGED.num_bootstrap, JUDGED.seed)
    own, hold = study.line.result, study.comparison.line(HOLD).result
    assert study.by_regime == by_regime(own, hold, calm, bootstrap)
    assert study.by_hour == by_hour(own, hold, bootstrap)
    assert study.by_month == by_month(own, hold, bootstrap)


def test_the_order_of_trades_is_that_of_its_own(study):
    assert study.trade_order == shuffle_trades(trade_returns(study.line.result), seed=3)


def test_lines_are_held_against_holding(study):
    hold = returns_by(study.comparison.line(HOLD).result, DAY)
    assert len(study.comparison.lines) == 5
    for line in study.comparison.lines:
        daily = returns_by(line.result, DAY)
        assert line.over_hold.mean == pytest.approx((daily - hold).mean(), abs=1e-15)
        assert line.over_hold.level == JUDGED.confidence
    assert study.comparison.line(COMBINED).over_hold.mean != 0.0


def test_managed_holding_goes_by_the_longest_horizon(study, market):
    forecast, _ = market
    wanted = volatility_managed(forecast.close_time, forecast.volatility[:, 1], DAY, ManagedSettings())
    found = study.comparison.line(MANAGED).positions["A"]
    np.testing.assert_array_equal(found.target, wanted.target)
    assert len(np.unique(found.target)) > 5
