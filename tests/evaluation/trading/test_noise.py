"""What a study says of forecasts that know nothing, on random walks: how often it would flatter them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import signal, stats

from polyscale.evaluation.trading.significance import NOISE, Significance, judge_sweep
from polyscale.evaluation.trading.study import strategy_sets
from polyscale.evaluation.trading.sweep import sweep
from polyscale.strategy.decide import decide
from polyscale.strategy.settings import StrategySettings
from tests.backtesting.market import HOUR
from tests.evaluation.trading.market import costs, open_market
from tests.strategy.test_portfolio import forecast_of, hourly, walk

NUM_MARKETS = 40
RULES = StrategySettings(horizon="4h", sizing="fixed", edge_over_cost=0.0)
FREE = costs(fee_bps=0.0, slippage_bps=0.0, assumed_funding_8h=0.0)


def searched(seed: int, days: int = 70) -> Significance:
    """The grid of a study over one random walk, whose forecasts wander by themselves."""
    num = 24 * days
    bars = hourly(walk(seed, num, 0.005))
    noise = np.random.default_rng([seed, 1]).normal(size=(num, 2))
    z = signal.lfilter([np.sqrt(1 - 0.9**2)], [1, -0.9], noise, axis=0)
    drift = 0.008 * z
    forecast = replace(
        forecast_of(bars, np.full(num, 0.5)),
        prob_up=stats.norm.cdf(0.25 * z),
        expected_return=drift,
        quantiles=drift[:, :, None],
    )
    exchange = open_market(FREE, HOUR, A=bars)
    sets = [RULES, *strategy_sets(RULES, forecast.horizons)]
    found = sweep(exchange, sets, lambda rules: {"A": decide(forecast, rules, 0.0012, bars)}, FREE)
    return judge_sweep(found, chosen=0)


@pytest.fixture(scope="module")
def searches():
    return [searched(seed) for seed in range(NUM_MARKETS)]


def test_searches_among_noise_come_out_where_they_are_said_to(searches):
    found = np.array([each.overfitting.probability for each in searches])
    assert np.mean((found < NOISE[0]) | (found > NOISE[1])) <= 0.2  # a tenth, and what 40 draws add
    assert abs(found.mean() - 0.5) < 0.15
    assert np.mean((found < 0.25) | (found > 0.85)) > 0.2  # less would be no sign of anything


def test_a_deflated_ratio_is_seldom_claimed_of_noise(searches):
    assert sum(each.sharpe.deflated > 0.95 for each in searches) <= 1
    assert sum(each.sharpe.probabilistic > 0.95 for each in searches) <= 6
