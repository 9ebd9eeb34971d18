"""Who knows the next bar earns; who knows it one bar too late, on a random walk, does not beat zero.

Every draw is one market; the interval of the mean bar return is a block bootstrap's. Nominally one interval
in twenty is clear of zero; of 40 independent ones, 6 or more are in 1.4 of 100 cases.
"""

import numpy as np
import pytest

from polyscale.backtesting import measures
from polyscale.evaluation.bootstrap import Bootstrap, block_length, mean_interval
from polyscale.evaluation.trading.delay import delayed
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from tests.backtesting.market import make_positions, make_settings
from tests.evaluation.trading.market import open_market

QUARTER = Timeframe(15)
NUM_MARKETS = 40


def run_with_foresight(kind, seed, num_late, account=None):
    bars = simulate_bars(SimulationSettings(kind=kind, days=20, timeframe=QUARTER, seed=seed))
    moves = np.sign(np.log(bars["close"] / bars["open"]).to_numpy())
    positions = {"A": make_positions(bars, np.append(moves[1:], 0.0))}
    settings = account or make_settings()
    exchange = open_market(settings, timeframe=QUARTER, A=bars)
    late = delayed(positions, exchange.grid, num_late) if num_late else positions
    return exchange.run(late, settings)


def interval_of(result):
    r = measures.returns(result.equity)
    return mean_interval(r, Bootstrap(block_length(len(r), 1), num_draws=1000))


@pytest.mark.parametrize("kind", ["random_walk", "realistic"])
def test_perfect_foresight_earns_also_after_costs(kind):
    costs = make_settings(fee_bps=2.0)
    for seed in range(5):
        free, paid = (run_with_foresight(kind, seed, 0, account) for account in (None, costs))
        assert interval_of(free).low > 0
        assert free.total_return > max(paid.total_return, 1.0)
        assert free.liquidated is False


def test_foresight_a_bar_too_late_does_not_beat_zero_on_a_random_walk():
    intervals = [interval_of(run_with_foresight("random_walk", seed, 1)) for seed in range(NUM_MARKETS)]
    assert sum(interval.low > 0 or interval.high < 0 for interval in intervals) <= 5
    assert sum(interval.low > 0 for interval in intervals) <= 4
    standard = [i.mean / ((i.high - i.low) / 3.92) for i in intervals]
    assert abs(np.mean(standard)) < 3 / np.sqrt(NUM_MARKETS)


def test_a_rule_that_knows_nothing_does_not_beat_zero_on_a_random_walk():
    found = []
    for seed in range(NUM_MARKETS):
        bars = simulate_bars(
            SimulationSettings(kind="random_walk", days=20, timeframe=QUARTER, seed=100 + seed)
        )
        momentum = np.sign(np.log(bars["close"] / bars["open"]).to_numpy())
        exchange = open_market(make_settings(), timeframe=QUARTER, A=bars)
        found.append(interval_of(exchange.run({"A": make_positions(bars, momentum)}, make_settings())))
    assert sum(interval.low > 0 for interval in found) <= 4
