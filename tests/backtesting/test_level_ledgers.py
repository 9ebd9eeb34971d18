"""Ledgers worked out by hand: stops, take-profits, limits, volume, order rules, many symbols, ruin."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from polyscale.backtesting.engine import Asset, run_backtest, run_portfolio
from polyscale.market.order_rules import OrderRules
from polyscale.market.position import Positions
from tests.backtesting.market import FIRST, HOUR, flat_bars, make_bars, make_funding, make_settings

NONE = float("nan")
COSTLY = {"fee_bps": 100, "slippage_bps": 100, "maker_fee_bps": 50}  # 1 %, 1 % and 0.5 %
QUIET = (100, 100, 100, 100)


def decide(bars, *rows):
    """Target, limit, stop and take-profit at the first closes; what is left out is none."""
    times = bars["close_time"].dt.replace_time_zone(None).to_numpy()[: len(rows)]
    full = np.array([[*row, NONE, NONE, NONE][:4] for row in rows], dtype=np.float64)
    return Positions(times, *full.T.copy())


def trade(bars, *rows, rules=None, funding=None, **changes):
    settings = make_settings(**changes)
    return run_backtest(bars, HOUR, decide(bars, *rows), settings, funding, rules or OrderRules())


def with_volume(bars, *volumes):
    return bars.with_columns(volume=pl.Series(volumes, dtype=pl.Float64))


def fills_of(result):
    return result.fills.select("kind", "units", "price").rows()


def costs_of(result):
    return near(*result.fills["fee"].to_list()), near(*result.fills["slippage"].to_list())


def near(*values):
    return pytest.approx(list(values), rel=1e-12, abs=1e-9)


# --- stops and take-profits


def test_stop_of_a_long_fills_at_its_price_inside_the_bar():
    bars = make_bars([QUIET, QUIET, (100, 104, 80, 85)])

    result = trade(bars, (0.5, NONE, 90), **COSTLY)

    # 5 coins at 100: slippage 5, fee 1 % of 505. Sold at 90: slippage 4.5, fee 1 % of 445.5
    assert fills_of(result) == [("order", 5, 100), ("stop", 0, 90)]
    assert costs_of(result) == ([5.05, 4.455], [5, 4.5])
    assert result.equity.tolist() == near(1000, 989.95, 1000 - 500 - 10.05 + 450 - 8.955)
    assert result.trades["exit_by"].to_list() == ["stop"]


def test_stop_of_a_short_fills_at_its_price_inside_the_bar():
    bars = make_bars([QUIET, QUIET, (100, 120, 96, 115)])

    result = trade(bars, (-0.5, NONE, 110), **COSTLY)

    # 5 coins sold at 100: slippage 5, fee 1 % of 495. Bought at 110: slippage 5.5, fee 1 % of 555.5
    assert fills_of(result) == [("order", -5, 100), ("stop", 0, 110)]
    assert costs_of(result) == ([4.95, 5.555], [5, 5.5])
    assert result.equity[-1] == pytest.approx(1000 + 500 - 9.95 - 550 - 11.055)


def test_stop_is_reached_when_touched_and_not_before():
    touched, spared = (make_bars([QUIET, QUIET, (100, 100, low, 100)]) for low in (90, 90.01))

    assert fills_of(trade(touched, (0.5, NONE, 90)))[-1] == ("stop", 0, 90)
    assert fills_of(trade(spared, (0.5, NONE, 90))) == [("order", 5, 100)]


@pytest.mark.parametrize(("target", "stop", "opens"), [(0.5, 90, 70), (-0.5, 110, 130)])
def test_stop_that_a_gap_has_passed_fills_at_the_open(target, stop, opens):
    bars = make_bars([QUIET, QUIET, (opens, 135, 65, 100)])

    result = trade(bars, (target, NONE, stop))

    # 30 lost on each of 5 coins, though the stop is 10 away
    assert fills_of(result)[-1] == ("stop", 0, opens)
    assert result.equity[-1] == pytest.approx(1000 - 150)
    assert result.trades["exit_time"].to_list() == [FIRST + timedelta(hours=1)]


def test_stop_can_strike_in_the_bar_of_the_entry():
    bars = make_bars([QUIET, (100, 100, 85, 95), (95, 95, 95, 95)])

    result = trade(bars, (0.5, NONE, 90))

    assert fills_of(result) == [("order", 5, 100), ("stop", 0, 90)]
    assert result.equity.tolist() == near(1000, 950, 950)
    assert result.trades["exit_time"].to_list() == [FIRST + timedelta(hours=1)]  # known at the close


def test_take_profit_is_a_maker_at_its_own_price():
    bars = make_bars([QUIET, QUIET, (100, 125, 100, 110)])

    result = trade(bars, (0.5, NONE, NONE, 120), **COSTLY)

    # sold at 120 for 600, fee 0.5 %, no slippage
    assert fills_of(result)[-1] == ("take_profit", 0, 120)
    assert costs_of(result) == ([5.05, 3], [5, 0])
    assert result.equity[-1] == pytest.approx(1000 - 500 - 10.05 + 600 - 3)


def test_take_profit_that_is_only_touched_is_not_filled():
    bars = make_bars([QUIET, QUIET, (100, 120, 100, 110)])

    assert fills_of(trade(bars, (0.5, NONE, NONE, 120))) == [("order", 5, 100)]


def test_take_profit_gets_no_more_where_the_bar_opens_beyond():
    bars = make_bars([QUIET, QUIET, (150, 150, 150, 150)])

    result = trade(bars, (0.5, NONE, NONE, 120))

    assert fills_of(result)[-1] == ("take_profit", 0, 120)
    assert result.equity[-1] == pytest.approx(1100)


def test_of_stop_and_take_profit_in_one_bar_the_stop_was_first():
    bars = make_bars([QUIET, QUIET, (100, 130, 80, 125)])

    assert fills_of(trade(bars, (0.5, NONE, 90, 120)))[-1] == ("stop", 0, 90)


def test_entry_is_refused_where_the_open_has_passed_its_stop():
    bars = make_bars([QUIET, (94, 120, 94, 120)])

    result = trade(bars, (0.5, NONE, 95))

    assert fills_of(result) == []
    assert result.equity.tolist() == near(1000, 1000)


def test_refused_order_closes_what_is_held():
    bars = make_bars([QUIET, QUIET, (94, 120, 94, 120)])

    result = trade(bars, (0.5,), (0.8, NONE, 95))

    assert fills_of(result) == [("order", 5, 100), ("order", 0, 94)]
    assert result.equity.tolist() == near(1000, 1000, 970)


def test_stop_follows_the_price_while_held():
    bars = make_bars([QUIET, (100, 110, 100, 110), (110, 120, 106, 120), (120, 120, 112, 118)])

    result = trade(bars, (0.5, NONE, 90), (0.5, NONE, 105), (0.5, NONE, 115))

    # 90, 105 and 115 in turn: the lows 106 and then 112 meet 105 and 115
    assert fills_of(result) == [("order", 5, 100), ("stop", 0, 115)]
    assert result.equity.tolist() == near(1000, 1050, 1100, 1075)


@pytest.mark.parametrize(("stop", "take"), [(104, NONE), (NONE, 98)])
def test_levels_that_the_open_has_passed_close_at_the_open(stop, take):
    bars = make_bars([QUIET, QUIET, (100, 110, 90, 105)])

    result = trade(bars, (0.5,), (0.5, NONE, stop, take), slippage_bps=100)

    assert fills_of(result) == [("order", 5, 100), ("order", 0, 100)]
    assert result.equity[-1] == pytest.approx(990)  # 1 % of 500, twice


def test_who_was_stopped_out_stays_out_until_a_new_target():
    bars = make_bars([QUIET, (100, 100, 85, 100), QUIET, QUIET, QUIET])

    result = trade(bars, (0.5, NONE, 90), (0.5, NONE, 90), (0.5, NONE, 80), (0.4, NONE, 80))

    # 50 lost; the same target is no order; 40 % of 950 at 100
    assert fills_of(result) == [("order", 5, 100), ("stop", 0, 90), ("order", pytest.approx(3.8), 100)]
    assert result.holdings["units"].to_list() == near(0, 0, 0, 0, 3.8)


def test_slippage_of_a_stop_is_a_share_of_the_range_in_quote_coin():
    bars = make_bars([QUIET, QUIET, (100, 100, 80, 80)])

    result = trade(bars, (0.5, NONE, 90), slippage_of_range=0.1)

    assert result.fills["slippage"].to_list() == near(0, 5 * 2)  # 10 % of 20 on each of 5 coins


# --- limits


@pytest.mark.parametrize(("low", "fills"), [(95, []), (94.9, [("limit", pytest.approx(500 / 100), 95)])])
def test_limit_must_be_traded_through(low, fills):
    bars = make_bars([QUIET, (100, 100, low, 100)])

    result = trade(bars, (0.5, 95), **COSTLY)

    # 500 at the open of 100 are 5 coins; at 95 they cost 475 and a maker's fee of 0.5 %
    assert fills_of(result) == fills
    assert result.equity[-1] == pytest.approx(1000 + len(fills) * (25 - 2.375))


def test_limit_that_an_open_only_touches_is_not_filled():
    bars = make_bars([QUIET, (100, 100, 96, 96), (95, 99, 95, 99)])

    assert fills_of(trade(bars, (0.5, 95))) == []


def test_limit_that_rested_and_was_passed_by_a_gap_fills_at_its_own_price():
    bars = make_bars([QUIET, (100, 100, 96, 96), (90, 93, 90, 93)])

    result = trade(bars, (0.5, 95), **COSTLY)

    assert fills_of(result) == [("limit", 5, 95)]
    assert result.equity[-1] == pytest.approx(1000 - 2.375 - 10)


def test_limit_is_filled_and_stopped_in_one_bar_but_takes_no_profit_in_it():
    bars = make_bars([QUIET, (100, 110, 88, 105)])
    both = trade(bars, (0.5, 95, 90, 105), **COSTLY)
    bars = make_bars([QUIET, (100, 110, 91, 105), (105, 106, 105, 105)])
    late = trade(bars, (0.5, 95, 90, 105), **COSTLY)

    # bought at 95, fee 0.5 % of 475; sold at 90, slippage 1 % of 450, fee 1 % of 445.5
    assert fills_of(both) == [("limit", 5, 95), ("stop", 0, 90)]
    assert both.equity[-1] == pytest.approx(1000 - 25 - 2.375 - 4.5 - 4.455)
    assert fills_of(late) == [("limit", 5, 95), ("take_profit", 0, 105)]
    assert late.fills["time"].to_list() == [FIRST + timedelta(hours=1), FIRST + timedelta(hours=2)]


@pytest.mark.parametrize(("limit", "slippage"), [(102, 5), (100.5, 2.5)])
def test_marketable_limit_is_a_taker_at_the_open_within_its_price(limit, slippage):
    bars = make_bars([QUIET, (100, 100, 99, 100)])

    result = trade(bars, (0.5, limit), **COSTLY)

    assert fills_of(result) == [("limit", 5, 100)]
    assert costs_of(result) == ([(500 + slippage) * 0.01], [slippage])


def test_limit_moved_beyond_the_market_is_filled_at_the_open_and_no_worse():
    bars = make_bars([QUIET, QUIET, QUIET, QUIET])

    result = trade(bars, (0.5,), (0, 120), (0, 60), slippage_bps=100)

    assert fills_of(result) == [("order", 5, 100), ("limit", 0, 100)]
    assert result.fills["slippage"].to_list() == near(5, 5)


def test_limit_that_would_take_profit_comes_after_the_stop():
    bars = make_bars([QUIET, QUIET, (100, 120, 80, 110)])

    result = trade(bars, (0.5,), (0, 115, 90))

    assert fills_of(result) == [("order", 5, 100), ("stop", 0, 90)]


def test_of_a_take_profit_and_a_limit_that_reduces_the_nearer_one_fills():
    bars = make_bars([QUIET, QUIET, QUIET, (100, 130, 100, 130)])

    near_take = trade(bars, (0.5,), (0.2, 120, NONE, 140), (0.2, 120, NONE, 110))
    near_limit = trade(bars, (0.5,), (0.2, 120, NONE, 140), (0.2, 110, NONE, 120))

    assert fills_of(near_take)[-1] == ("take_profit", 0, 110)
    assert fills_of(near_limit)[-1] == ("limit", pytest.approx(2), 110)


def test_limit_beyond_its_own_stop_is_refused_where_it_would_fill():
    bars = make_bars([QUIET, QUIET, (100, 100, 80, 85), (85, 85, 85, 85)])

    result = trade(bars, (0.5, 90, 88), (0.5, 90, 95))  # else bought at 90 and "stopped" at 95

    assert fills_of(result) == []


def test_a_position_that_is_being_turned_has_no_stop():
    bars = make_bars([QUIET, QUIET, (100, 112, 100, 108), (108, 125, 108, 122)])

    result = trade(bars, (0.5,), (-0.5, 110, 120))

    # a short from 110 on, stopped at 120: what is held long until then is not meant
    assert fills_of(result) == [("order", 5, 100), ("limit", -5, 110), ("stop", 0, 120)]
    assert result.equity[-1] == pytest.approx(1000 + 50 - 50)


def test_turning_limit_comes_too_late_for_a_long_that_is_liquidated():
    bars = make_bars([QUIET, QUIET, (100, 120, 70, 110)])

    result = trade(bars, (3,), (-1, 110), max_leverage=3.0, maintenance_margin=0.1)

    # 30 coins on 1000: cash -2000 is 90 % of the value at 2000 / 27
    assert fills_of(result)[-1] == ("liquidation", 0, pytest.approx(2000 / 27))


# --- volume and order rules


def test_volume_spreads_an_order_over_three_bars():
    bars = with_volume(flat_bars([(100, 100), (100, 110), (110, 120), (120, 120)]), 9, 4, 4, 4)

    result = trade(bars, (0.5,), volume_share=0.5)

    # 5 coins wanted, 2 a bar: at 100, 110 and 120
    assert fills_of(result) == [("order", 2, 100), ("order", 4, 110), ("order", 5, 120)]
    assert result.equity.tolist() == near(1000, 1020, 1060, 1060)
    assert result.trades["entry_price"].to_list() == near((200 + 220 + 120) / 5)


def test_stop_with_too_little_volume_closes_the_rest_at_the_next_opens():
    rows = [QUIET, QUIET, (100, 100, 88, 88), (84, 84, 84, 84), (80, 80, 80, 80)]
    bars = with_volume(make_bars(rows), 99, 99, 4, 4, 4)

    result = trade(bars, (0.5, NONE, 90), volume_share=0.5)

    # below the stop already: the next opens find it passed, at 84 and at 80
    assert fills_of(result)[1:] == [("stop", 3, 90), ("stop", 1, 84), ("stop", 0, 80)]
    assert result.equity[-1] == pytest.approx(1000 - 2 * 10 - 2 * 16 - 20)


def test_what_a_stop_leaves_is_sold_at_any_price_whatever_limit_stands():
    rows = [QUIET, QUIET, (100, 100, 89, 92), (92, 92, 92, 92)]
    bars = with_volume(make_bars(rows), 99, 99, 4, 99)

    result = trade(bars, (0.5, 100, 90), (0.5, 100, 90), (0.5, 100, 89), volume_share=0.5)

    assert fills_of(result) == [("limit", 5, 100), ("stop", 3, 90), ("order", 0, 92)]


def test_stop_that_the_volume_cannot_fill_does_not_save_from_liquidation():
    rows = [QUIET, QUIET, (100, 100, 60, 60), (90, 90, 90, 90)]
    saved, lost = (with_volume(make_bars(rows), 99, 99, volume, 99) for volume in (99, 10))
    account = {"max_leverage": 3.0, "maintenance_margin": 0.1, "volume_share": 1.0}

    assert fills_of(trade(saved, (3, NONE, 95), **account))[-1] == ("stop", 0, 95)
    assert fills_of(trade(lost, (3, NONE, 95), **account))[-1] == ("liquidation", 0, pytest.approx(2000 / 27))


def test_sizes_are_whole_lots():
    bars = make_bars([QUIET, QUIET, QUIET])

    result = trade(bars, (0.5,), (0.1,), rules=OrderRules(lot_step=2.0))

    assert fills_of(result) == [("order", 4, 100), ("order", 0, 100)]  # 5 and 1 coins, rounded down


@pytest.mark.parametrize("rules", [OrderRules(min_notional=400.0), OrderRules(min_quantity=4.0)])
def test_order_too_small_is_dropped_but_closing_is_always_allowed(rules):
    bars = flat_bars([(100, 100), (100, 100), (100, 10), (10, 10), (10, 10)])

    result = trade(bars, (0.3,), (0.5,), (0.4,), (0,), rules=rules)

    # 300 is dropped, 500 is bought; at 10 another 20.2 coins are wanted for 202: dropped by value only
    bought = [] if rules.min_notional else [("order", pytest.approx(0.4 * 550 / 10), 10)]
    assert fills_of(result) == [("order", 5, 100), *bought, ("order", 0, 10)]


# --- many symbols


def run_two(first, second, settings, **assets):
    positions = {"A": decide(first, *assets["a"]), "B": decide(second, *assets["b"])}
    order = assets.get("order", "AB")
    bars = {"A": first, "B": second}
    funding = assets.get("funding", {})
    listed = {s: Asset(bars[s], funding.get(s), OrderRules()) for s in order}
    return run_portfolio(listed, HOUR, positions, settings)


def test_two_symbols_are_liquidated_together_where_the_margin_is_met():
    first = make_bars([QUIET, QUIET, (100, 100, 60, 100)])
    second = make_bars([(50, 50, 50, 50), (50, 50, 50, 50), (50, 60, 50, 50)])
    account = make_settings(max_leverage=5.0, maintenance_margin=0.1)

    result = run_two(first, second, account, a=[(2,)], b=[(-1,)])

    # 20 A and -20 B. A share x of the way to 60 and 60: equity 1000 - 1000 x, gross 3000 - 600 x
    # 1000 - 1000 x = 300 - 60 x at x = 35 / 47
    x = 35 / 47
    assert result.liquidated
    assert fills_of(result)[2:] == [
        ("liquidation", 0, pytest.approx(100 - 40 * x)),
        ("liquidation", 0, pytest.approx(50 + 10 * x)),
    ]
    assert result.equity[-1] == pytest.approx(1000 - 1000 * x)


def test_targets_that_pass_the_leverage_together_are_cut_by_one_share():
    bars = make_bars([QUIET, QUIET])

    result = run_two(bars, bars, make_settings(), a=[(0.9,)], b=[(-0.6,)])

    assert fills_of(result) == [("order", pytest.approx(6), 100), ("order", pytest.approx(-4), 100)]


@pytest.mark.parametrize("order", ["AB", "BA"])
def test_reductions_come_before_increases(order):
    bars = make_bars([QUIET, QUIET, QUIET])

    result = run_two(bars, bars, make_settings(), a=[(1,), (0.2,)], b=[(0,), (0.8,)], order=order)

    assert result.fills.select("symbol", "units").rows() == [("A", 10), ("A", 2), ("B", 8)]


def test_funding_of_two_symbols_falls_due_at_their_own_stamps():
    bars = flat_bars([(100, 100), (100, 100), (110, 110), (120, 120)])
    hours = [datetime(2025, 1, 1, hour, tzinfo=UTC) for hour in (2, 3)]
    funding = {"A": make_funding({hours[0]: 0.01}), "B": make_funding({hours[1]: -0.02})}

    result = run_two(bars, bars, make_settings(), a=[(0.5,)], b=[(-0.5,)], funding=funding)

    # A pays 1 % of 5 * 110; B, short, pays 2 % of 5 * 120 where longs receive
    assert result.ledger["funding"].to_list() == near(0, 0, 5.5, 12)
    assert result.equity[-1] == pytest.approx(1000 - 17.5)


def test_a_symbol_that_is_not_traded_moves_nothing():
    own = flat_bars([(100, 100), (100, 100), (90, 100), (80, 100)])[[0, 2, 3]]
    other = flat_bars([(50, 50)] * 4)

    alone = run_portfolio({"A": Asset(own)}, HOUR, {"A": decide(own, (0.5, NONE, 70))}, make_settings())
    both = run_two(own, other, make_settings(), a=[(0.5, NONE, 70)], b=[(0,)])

    assert fills_of(alone) == fills_of(both) == [("order", pytest.approx(500 / 90), 90)]


def test_a_symbol_of_one_bar_can_have_stored_funding():
    bars = make_bars([QUIET, QUIET, QUIET])
    funding = {"A": make_funding({FIRST + timedelta(hours=1): 0.01}), "B": make_funding({FIRST: 0.5})}

    result = run_two(bars, bars[:1], make_settings(), a=[(0.5,)], b=[(0.5,)], funding=funding)

    assert result.ledger["funding"].to_list() == near(0, 0, 5)
    assert result.fills["symbol"].to_list() == ["A"]


def test_an_account_without_decisions_keeps_its_cash():
    bars = make_bars([QUIET, QUIET])

    result = run_portfolio({"A": Asset(bars), "B": Asset(bars)}, HOUR, {}, make_settings())

    assert result.equity.tolist() == [1000, 1000]


def test_a_position_pays_funding_where_its_symbol_has_no_bar():
    own, other = flat_bars([(100, 100), (100, 110)]), flat_bars([(50, 50)] * 10)  # opens 00:00 to 09:00
    account = make_settings(assumed_funding_8h=0.01)

    result = run_two(own, other, account, a=[(0.5,)], b=[(0,)])

    # at 08:00, on 5 coins at their last price: whether bars follow cannot be known
    assert result.ledger["funding"].to_list() == near(*[0] * 8, 5.5, 0)


# --- ruin


def test_gap_through_ruin_of_two_symbols_leaves_nothing_and_ends_the_trading():
    first = flat_bars([(100, 100), (100, 100), (5, 5), (100, 100)])
    second = flat_bars([(100, 100), (100, 100), (200, 200), (100, 100)])
    account = make_settings(max_leverage=5.0, fee_bps=10)

    result = run_two(first, second, account, a=[(4,), (4,), (1,)], b=[(-0.1,)])

    # A lost 95 on some 40 coins: more than its whole value and B's is lacking, so B goes for nothing
    assert result.liquidated
    assert result.equity.tolist()[2:] == near(0, 0)
    assert result.fills["price"].min() >= 0
    assert result.fills["fee"].min() >= 0
    assert result.trades["net_pnl"].sum() == pytest.approx(-1000)


def test_take_profits_own_price_takes_no_more_than_there_is():
    first = flat_bars([(100, 100), (100, 100), (300, 300), (300, 300)])
    second = flat_bars([(100, 100), (100, 100), (300, 300), (300, 300)])
    account = make_settings(max_leverage=5.0)

    result = run_two(first, second, account, a=[(2, NONE, NONE, 110)], b=[(-2,)])

    # both trebled: the long is sold at 110 as if it had not, the short loses 4000
    assert result.liquidated
    assert result.equity.tolist()[2:] == near(0, 0)
