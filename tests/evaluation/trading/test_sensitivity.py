"""Variations against runs made by hand, the break-even cost against its closed form."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyscale.backtesting.measures import Absent
from polyscale.evaluation.trading.sensitivity import Variation, break_even_cost, vary
from tests.backtesting.market import HOUR, flat_bars, make_positions, make_settings
from tests.evaluation.trading.market import coin_flips, costs, open_market, positions_over, walk

ACCOUNT = costs(maker_fee_bps=2.0, slippage_of_range=0.02)


def hourly(opens_and_closes, targets, **changes):
    """An exchange, positions and settings of bars whose extremes are their open and close."""
    bars, account = flat_bars(opens_and_closes), make_settings(**changes)
    return open_market(account, HOUR, A=bars), {"A": make_positions(bars, targets)}, account


def busy_market():
    bars = walk(5)
    targets = coin_flips(bars.height, np.random.default_rng(1), 20)
    return bars, open_market(ACCOUNT, A=bars), {"A": positions_over(bars, targets)}


def test_each_row_is_a_run_with_one_thing_changed():
    bars, exchange, positions = busy_market()
    late = {"A": positions_over(bars[1:], positions["A"].target[:-1])}
    later = {"A": positions_over(bars[2:], positions["A"].target[:-2])}
    cheap = {"fee_bps": 2.5, "maker_fee_bps": 1.0}
    wanted = [
        (ACCOUNT, positions),
        (costs(fee_bps=0.0, maker_fee_bps=0.0, slippage_of_range=0.02), positions),
        (costs(**cheap, slippage_of_range=0.02), positions),
        (costs(fee_bps=10.0, maker_fee_bps=4.0, slippage_of_range=0.02), positions),
        (costs(maker_fee_bps=2.0, slippage_bps=0.0), positions),
        (costs(maker_fee_bps=2.0, slippage_bps=0.5, slippage_of_range=0.01), positions),
        (costs(maker_fee_bps=2.0, slippage_bps=2.0, slippage_of_range=0.04), positions),
        (costs(fee_bps=0.0, maker_fee_bps=0.0, slippage_bps=0.0), positions),
        (ACCOUNT, late),
        (ACCOUNT, later),
    ]

    rows = vary(exchange, positions, ACCOUNT)

    assert [(row.fee_factor, row.slippage_factor, row.delay_bars) for row in rows] == [
        *[(1, 1, 0), (0, 1, 0), (0.5, 1, 0), (2, 1, 0), (1, 0, 0), (1, 0.5, 0), (1, 2, 0), (0, 0, 0)],
        *[(1, 1, 1), (1, 1, 2)],
    ]
    for row, (account, decided) in zip(rows, wanted, strict=True):
        run = exchange.run(decided, account)
        found = (row.total_return, row.sharpe_ratio, row.max_drawdown, row.reason)
        assert found == (run.total_return, run.sharpe_ratio, run.max_drawdown, "")


def test_what_was_never_traded_has_no_sharpe_ratio():
    bars = walk(1)
    flat = {"A": positions_over(bars, np.zeros(bars.height))}
    row = vary(open_market(ACCOUNT, A=bars), flat, ACCOUNT)[0]
    assert row == Variation(1.0, 1.0, 0, 0.0, None, 0.0, "returns do not vary")


def test_a_variation_that_the_account_does_not_allow_says_so():
    """Twice the fee at this leverage would be liquidated by its own entry."""
    account = costs(fee_bps=60.0, max_leverage=99.0)
    bars = walk(1)
    rows = vary(open_market(account, A=bars), {"A": positions_over(bars, np.zeros(bars.height))}, account)
    assert rows[3].total_return is None
    assert "max_leverage" in rows[3].reason
    assert rows[2].total_return == 0.0


@pytest.mark.parametrize("price", [101.0, 130.0, 400.0])
def test_break_even_of_a_long_trade_with_all_the_money(price):
    """Bought for 1 / (1 + k) of the money, sold for 1 - k of the value: k = (g - 1) / (g + 1)."""
    market = hourly([(100, 100), (100, price), (price, price)], [1.0, 0.0])
    assert break_even_cost(*market) == pytest.approx(1e4 * (price - 100) / (price + 100), rel=1e-9)


def test_break_even_of_half_a_short_position():
    """500 of 1000 sold at 100 and bought back at 90: 50 won on 500 + 450 traded."""
    market = hourly([(100, 100), (100, 90), (90, 90)], [-0.5, 0.0])
    assert break_even_cost(*market) == pytest.approx(1e4 * 50 / 950, rel=1e-9)


def test_break_even_does_not_ask_what_the_settings_charge():
    free = hourly([(100, 100), (100, 130), (130, 130)], [1.0, 0.0])
    dear = hourly(
        [(100, 100), (100, 130), (130, 130)],
        [1.0, 0.0],
        fee_bps=30.0,
        slippage_bps=20.0,
        slippage_of_range=0.5,
    )
    assert break_even_cost(*dear) == break_even_cost(*free)


@given(st.integers(0, 10_000), st.sampled_from([0.5, 1.0, 2.0]), st.floats(0.0, 1e-3))
@settings(max_examples=60, deadline=None)
def test_at_the_break_even_cost_nothing_is_left(seed, size, rate):
    rng = np.random.default_rng(seed)
    path = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 41)))
    bars = list(pairwise(path))
    targets = size * coin_flips(40, rng, 4)
    exchange, positions, account = hourly(bars, targets, assumed_funding_8h=rate, max_leverage=2.0)

    bps = break_even_cost(exchange, positions, account)

    free = exchange.run(positions, make_settings(assumed_funding_8h=rate, max_leverage=2.0)).total_return
    if isinstance(bps, Absent):
        assert free < 0 or not targets[:-1].any()
    else:
        paid = make_settings(fee_bps=bps, assumed_funding_8h=rate, max_leverage=2.0)
        assert free >= 0
        assert abs(exchange.run(positions, paid).total_return) < 1e-6


def test_where_there_is_no_break_even_there_is_a_reason():
    flat = [(100, 100), (100, 100), (100, 100)]
    assert break_even_cost(*hourly(flat, [0.0])) == Absent("nothing was traded")
    losing = [(100, 100), (100, 90), (90, 90)]
    assert break_even_cost(*hourly(losing, [1.0, 0.0])) == Absent("it loses even at no cost")
    assert break_even_cost(*hourly(flat, [1.0, 0.0])) == pytest.approx(0.0, abs=1e-8)
    soaring = [(100, 100), (100, 1e13), (1e13, 1e13)]
    found = break_even_cost(*hourly(soaring, [1.0, 0.0]))
    assert found == Absent("it does not lose at a cost of 100 % of the value traded")


def test_a_makers_fee_is_varied_with_the_takers():
    bars = walk(5)
    close = bars["close"].to_numpy()
    targets = coin_flips(bars.height, np.random.default_rng(2), 20)
    order = np.maximum.accumulate(np.where(np.append(True, np.diff(targets) != 0), np.arange(bars.height), 0))
    away = close * (1 - 5e-4 * np.sign(np.diff(targets, prepend=0.0)))  # not met by the open: it rests
    positions = {"A": positions_over(bars, targets, limit=away[order])}
    exchange = open_market(ACCOUNT, A=bars)
    rows = {row.fee_factor: row for row in vary(exchange, positions, ACCOUNT) if row.slippage_factor == 1}
    assert (exchange.run(positions, ACCOUNT).fills["kind"] == "limit").sum() > 10
    for factor in (0.0, 0.5, 2.0):
        account = costs(fee_bps=5.0 * factor, maker_fee_bps=2.0 * factor, slippage_of_range=0.02)
        assert rows[factor].total_return == exchange.run(positions, account).total_return
