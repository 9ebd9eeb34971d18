"""The timing of rules that know nothing, and of one that knows all."""

import numpy as np
import pytest
from scipy import stats

from polyscale.backtesting.measures import Absent
from polyscale.evaluation.trading.random_entries import random_entries
from polyscale.market.errors import DataError
from tests.evaluation.trading.market import coin_flips, costs, open_market, positions_over, times_of, walk

FREE = costs(fee_bps=0.0, slippage_bps=0.0, assumed_funding_8h=0.0)


def foresight(bars):
    """Long before a bar that rises, short before one that falls."""
    return np.append(np.sign(np.log(bars["close"] / bars["open"]).to_numpy())[1:], 0.0)


def p_values(seed, account, days=1, num_draws=99):
    bars = walk(days, seed=seed)
    targets = coin_flips(bars.height, np.random.default_rng(1_000 + seed), 12)
    found = random_entries(
        open_market(account, A=bars), {"A": positions_over(bars, targets)}, account, num_draws=num_draws
    )
    return found.total_return.p_value, found.sharpe_ratio.p_value


def test_p_values_of_a_rule_that_knows_nothing_are_uniform():
    found = np.array([p_values(seed, costs()) for seed in range(1, 201)])
    for p in found.T:
        assert stats.kstest(p - 0.005, "uniform").pvalue > 0.005
        assert 0.01 <= (p <= 0.05).mean() <= 0.1


@pytest.mark.parametrize("seed", [1, 2])
def test_a_rule_that_knows_the_next_bar_has_the_smallest_p_value(seed):
    bars = walk(2, seed=seed)
    exchange = open_market(FREE, A=bars)

    found = random_entries(exchange, {"A": positions_over(bars, foresight(bars))}, FREE, num_draws=199)

    assert found.total_return.p_value == found.sharpe_ratio.p_value == 1 / 200
    assert found.total_return.percentile == 1.0
    assert found.total_return.random.high < found.total_return.observed


def test_a_rule_that_is_always_wrong_has_the_largest_p_value():
    bars = walk(2)
    found = random_entries(
        open_market(FREE, A=bars), {"A": positions_over(bars, -foresight(bars))}, FREE, num_draws=99
    )
    assert found.total_return.p_value == found.sharpe_ratio.p_value == 1.0
    assert found.total_return.percentile == 0.0


def test_what_is_observed_is_the_run_and_random_times_pay_the_same_costs():
    """On bars that do not move, a return is what the orders cost: at any time the same."""
    bars = walk(2)
    bars = bars.with_columns(open=100.0, high=100.0, low=100.0, close=100.0)
    account = costs(assumed_funding_8h=0.0)
    exchange = open_market(account, A=bars)
    targets = np.repeat(coin_flips(bars.height // 2, np.random.default_rng(0), 5), 2)
    targets[[0, 1, -1, -2]] = 0.0  # no episode of one row, whose order at the last close would not be filled
    positions = {"A": positions_over(bars, targets)}

    found = random_entries(exchange, positions, account, num_draws=50)

    result = exchange.run(positions, account)
    assert found.total_return.observed == result.total_return < -0.01
    assert found.sharpe_ratio.observed == result.sharpe_ratio
    assert found.num_trades == result.n_trades
    np.testing.assert_allclose(
        [found.total_return.random.low, found.total_return.random.high], result.total_return
    )
    assert found.total_return.p_value == 1.0
    assert found.total_return.percentile == 0.5


def test_it_is_the_same_by_its_seed_whatever_the_number_of_threads():
    bars = {"A": walk(3, seed=1), "B": walk(3, seed=2)[100:]}
    account = costs()
    exchange = open_market(account, **bars)
    rng = np.random.default_rng(5)
    positions = {
        name: positions_over(
            frame, coin_flips(frame.height, rng, targets=(0.0, 0.4)), stop=0.99 * frame["close"].to_numpy()
        )
        for name, frame in bars.items()
    }

    def found(seed, num_threads):
        return random_entries(exchange, positions, account, num_draws=60, seed=seed, num_threads=num_threads)

    assert found(7, 1) == found(7, 2) == found(7, 3)
    assert found(7, 1) != found(8, 1)
    assert found(7, 1).num_draws == 60


def test_positions_decided_hourly_stay_on_the_hour():
    bars = walk(2)
    rows = np.arange(11, bars.height, 12)
    hourly = bars[rows]
    positions = positions_over(hourly, coin_flips(len(rows), np.random.default_rng(2), 2))
    found = random_entries(open_market(FREE, A=bars), {"A": positions}, FREE, num_draws=30)
    assert found.num_trades > 5
    assert times_of(hourly)[0] == times_of(bars)[11]


def flat_at_none(bars):
    return positions_over(bars[:0], np.empty(0))


def test_without_trades_or_another_order_there_is_a_reason():
    bars = walk(1)
    exchange = open_market(FREE, A=bars)
    flat, always = positions_over(bars, np.zeros(bars.height)), positions_over(bars, np.ones(bars.height))
    assert random_entries(exchange, {"A": flat}, FREE) == Absent("nothing was traded")
    assert random_entries(exchange, {"A": flat_at_none(bars)}, FREE) == Absent("nothing was traded")
    one_order = Absent("the episodes can be put in one order only")
    assert random_entries(exchange, {"A": always}, FREE) == one_order


def test_returns_that_do_not_vary_have_no_sharpe_ratio():
    bars = walk(1).with_columns(open=100.0, high=100.0, low=100.0, close=100.0)
    targets = coin_flips(bars.height, np.random.default_rng(0))
    found = random_entries(open_market(FREE, A=bars), {"A": positions_over(bars, targets)}, FREE, num_draws=5)
    assert found.sharpe_ratio == Absent("returns do not vary")
    assert found.total_return.p_value == 1.0


def test_no_draw_is_refused():
    bars = walk(1)
    with pytest.raises(DataError, match="got 0"):
        random_entries(open_market(FREE, A=bars), {}, FREE, num_draws=0)
