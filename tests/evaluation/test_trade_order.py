"""Orders and draws of trades against all of them, counted, and against closed forms."""

from collections import Counter
from dataclasses import astuple
from itertools import permutations, product
from math import prod, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from polyscale.backtesting.measures import Absent, max_drawdown
from polyscale.evaluation.trade_order import (
    Spread,
    deepest_drawdowns,
    drawdowns_of_orders,
    outcomes_of_draws,
    shuffle_trades,
)
from polyscale.market.errors import DataError

SIX = np.array([0.3, -0.2, 0.05, -0.1, -0.35, 0.15])
FIVE = SIX[:5]
MANY = np.random.default_rng(0).normal(0.004, 0.05, 60)


def slow_drawdown(returns):
    """Trade after trade, in money."""
    equity = peak = 1.0
    deepest = 0.0
    for r in returns:
        equity *= max(1.0 + r, 0.0)
        peak = max(peak, equity)
        deepest = max(deepest, 1.0 - equity / peak)
    return deepest


def assert_drawn_from(draws, exact):
    """Each value comes about as often as among all cases, and no other value comes."""
    wanted, got = Counter(np.round(exact, 12)), Counter(np.round(draws, 12))
    assert set(got) <= set(wanted)
    for value, count in wanted.items():
        share = count / len(exact)
        error = sqrt(share * (1 - share) / len(draws))
        assert abs(got[value] / len(draws) - share) <= 4.5 * error + 1e-12


def test_drawdowns_are_those_of_equity_counted_trade_by_trade():
    orders = np.array(list(permutations(SIX)))
    wanted = [slow_drawdown(order) for order in orders]
    np.testing.assert_allclose(deepest_drawdowns(np.log1p(orders)), wanted, atol=1e-14)


def test_drawdown_is_the_measure_of_a_backtest_whose_bars_are_trades():
    equity = 1e4 * np.cumprod(np.concatenate([[1.0], 1.0 + MANY]))
    assert shuffle_trades(MANY).max_drawdown == pytest.approx(max_drawdown(equity), rel=1e-12)
    assert shuffle_trades(MANY).final_return == pytest.approx(equity[-1] / equity[0] - 1.0, rel=1e-12)


@pytest.mark.parametrize("returns", [FIVE, SIX])
def test_orders_are_drawn_from_all_orders_alike(returns):
    draws = drawdowns_of_orders(np.log1p(returns), 40_000, np.random.default_rng(1))
    assert_drawn_from(draws, [slow_drawdown(order) for order in permutations(returns)])


def test_trades_are_drawn_from_all_draws_with_replacement_alike():
    finals, drawdowns = outcomes_of_draws(np.log1p(FIVE), 40_000, np.random.default_rng(2))
    every = list(product(FIVE, repeat=5))
    assert_drawn_from(drawdowns, [slow_drawdown(draw) for draw in every])
    assert_drawn_from(finals, [prod(1.0 + r for r in draw) - 1.0 for draw in every])


def test_a_final_return_and_a_drawdown_are_of_the_same_draw():
    finals, drawdowns = outcomes_of_draws(np.log1p(FIVE), 2000, np.random.default_rng(3))
    pairs = {
        (round(prod(1.0 + r for r in draw) - 1.0, 12), round(slow_drawdown(draw), 12))
        for draw in product(FIVE, repeat=5)
    }
    assert {(round(f, 12), round(d, 12)) for f, d in zip(finals, drawdowns, strict=True)} <= pairs


def test_every_order_ends_at_the_same_return():
    orders = np.random.default_rng(4).permuted(np.tile(MANY, (200, 1)), axis=1)
    np.testing.assert_allclose(np.prod(1.0 + orders, axis=1) - 1.0, shuffle_trades(MANY).final_return)


def test_two_losses_in_a_row_are_as_rare_as_neighbours():
    """A gain makes good a loss, so only two losses side by side go deeper: 2 / k of all orders."""
    returns = np.array([0.5] * 8 + [-0.1] * 2)
    draws = drawdowns_of_orders(np.log1p(returns), 40_000, np.random.default_rng(5))
    np.testing.assert_allclose(np.unique(np.round(draws, 12)), [0.1, 0.19])
    assert (draws > 0.15).mean() == pytest.approx(0.2, abs=0.008)
    assert shuffle_trades(returns).percentile == pytest.approx(0.9, abs=0.008)  # half of the tied 0.2


def test_the_chance_of_a_loss_is_binomial_where_trades_are_of_one_size():
    got = shuffle_trades(np.array([0.1, -0.1] * 5), num_draws=40_000)
    assert got.probability_of_loss == pytest.approx(stats.binom.cdf(5, 10, 0.5), abs=0.01)


@pytest.mark.parametrize("worst", [-1.0, -1.4])
def test_one_trade_that_loses_all_ruins_every_order_and_two_runs_of_three(worst):
    returns = np.array([0.02] * 11 + [worst])
    got = shuffle_trades(returns, ruin_drawdown=1.0, num_draws=40_000)
    assert (got.final_return, got.max_drawdown) == (-1.0, 1.0)
    assert got.reordered_drawdown == Spread(1.0, 1.0, 1.0)
    assert got.probability_of_ruin == pytest.approx(1.0 - (11 / 12) ** 12, abs=0.01)
    assert got.probability_of_ruin == got.probability_of_loss


def test_gains_alone_have_no_drawdown_and_no_order_is_lucky():
    got = shuffle_trades(np.full(12, 0.01))
    assert got.reordered_drawdown == got.drawn_drawdown == Spread(0.0, 0.0, 0.0)
    assert (got.percentile, got.probability_of_loss, got.probability_of_ruin) == (0.5, 0.0, 0.0)


def test_the_order_that_happened_is_placed_among_all():
    losses_first, alternating = np.sort(MANY), np.empty(60)
    alternating[::2], alternating[1::2] = np.sort(MANY)[:30], np.sort(MANY)[::-1][:30]
    assert shuffle_trades(losses_first).percentile > 0.999
    assert shuffle_trades(alternating).percentile < 0.05


def test_where_a_random_order_stands_is_uniform():
    rng = np.random.default_rng(6)
    places = [shuffle_trades(rng.permutation(MANY), num_draws=400, seed=i).percentile for i in range(300)]
    assert stats.kstest(places, "uniform").pvalue > 0.01


def test_what_is_drawn_does_not_depend_on_the_order_that_happened():
    """Of orders and draws alike: only the place of the order itself moves, up to the noise of the draws."""
    one, other = shuffle_trades(MANY, num_draws=20_000), shuffle_trades(np.sort(MANY), num_draws=20_000)
    np.testing.assert_allclose(astuple(one.reordered_drawdown), astuple(other.reordered_drawdown), atol=0.01)
    np.testing.assert_allclose(astuple(one.drawn_drawdown), astuple(other.drawn_drawdown), atol=0.01)
    assert one.probability_of_loss == pytest.approx(other.probability_of_loss, abs=0.02)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-0.9, 2.0), min_size=2, max_size=30))
def test_no_order_is_better_than_its_worst_trade_or_worse_than_all_losses_in_a_row(returns):
    growth = np.log1p(np.array(returns))
    draws = drawdowns_of_orders(growth, 50, np.random.default_rng(0))
    assert draws.min() >= -np.expm1(min(growth.min(), 0.0)) - 1e-12
    assert draws.max() <= -np.expm1(np.minimum(growth, 0.0).sum()) + 1e-12


def test_ruin_is_rarer_the_further_away_it_is():
    found = [shuffle_trades(MANY, ruin_drawdown=x).probability_of_ruin for x in (0.1, 0.2, 0.3, 0.5, 1.0)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.9
    assert found[-1] == 0.0


def test_a_cost_more_per_trade_makes_everything_worse():
    """With the same seed the same trades are drawn, so it holds of each number and not in the mean alone."""
    before, after = shuffle_trades(MANY), shuffle_trades(MANY - 0.002)
    assert after.max_drawdown > before.max_drawdown
    assert after.probability_of_loss > before.probability_of_loss
    assert after.probability_of_ruin >= before.probability_of_ruin
    for name in ("reordered_drawdown", "drawn_drawdown"):
        assert np.all(np.array(astuple(getattr(after, name))) > astuple(getattr(before, name)))
    assert np.all(np.array(astuple(after.drawn_return)) < astuple(before.drawn_return))


def test_drawing_trades_spreads_drawdowns_further_than_reordering_them():
    got = shuffle_trades(MANY)
    assert got.drawn_drawdown.high > got.reordered_drawdown.high
    assert got.drawn_return.low < got.final_return < got.drawn_return.high


def test_same_seed_same_numbers_whatever_the_chunks(monkeypatch):
    one = shuffle_trades(MANY, num_draws=500, seed=3)
    monkeypatch.setattr("polyscale.evaluation.trade_order._CHUNK", 60 * 7)
    assert shuffle_trades(MANY, num_draws=500, seed=3) == one
    assert shuffle_trades(MANY, num_draws=500, seed=4) != one


def test_few_trades_have_no_distribution_but_a_reason():
    assert shuffle_trades(MANY[:9]) == Absent("9 closed trades are fewer than 10")
    assert shuffle_trades(np.empty(0)) == Absent("0 closed trades are fewer than 10")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ruin_drawdown": 0.0}, "ruin_drawdown"),
        ({"ruin_drawdown": 1.1}, "ruin_drawdown"),
        ({"num_draws": 0}, "num_draws"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        shuffle_trades(MANY, **changes)


def test_returns_that_are_none_are_refused():
    with pytest.raises(DataError, match="got 1 not"):
        shuffle_trades(np.append(MANY, np.nan))
