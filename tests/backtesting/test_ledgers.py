"""Ledgers worked out by hand, one per thing that can happen to an account."""

from datetime import UTC, datetime, timedelta

import pytest

from polyscale.backtesting.engine import buy_and_hold, run_backtest
from polyscale.market.timeframe import Timeframe
from tests.backtesting.market import (
    FIRST,
    HOUR,
    flat_bars,
    make_bars,
    make_funding,
    make_positions,
    make_settings,
)

JANUARY_2 = datetime(2025, 1, 2, tzinfo=UTC)


def column(result, name):
    return (result.holdings if name in ("units", "price") else result.ledger)[name].to_list()


def near(*values):
    return pytest.approx(list(values), rel=1e-12, abs=1e-9)


def test_long_pays_fee_and_slippage_at_the_next_open_both_ways():
    bars = flat_bars([(90, 95), (100, 110), (110, 120), (120, 130)])
    settings = make_settings(fee_bps=10, slippage_bps=100)

    result = run_backtest(bars, HOUR, make_positions(bars, [0.5, 0.5, 0]), settings, None)

    # half of 1000 at the open of 100 is 5 coins; bought at 101 they cost 505 and a fee of 0.505
    # sold at 120 less 1 % = 118.8: 594, fee 0.594
    assert column(result, "units") == near(0, 5, 5, 0)
    assert column(result, "cash") == near(1000, 494.495, 494.495, 1087.901)
    assert column(result, "equity") == near(1000, 1044.495, 1094.495, 1087.901)
    assert column(result, "fee") == near(0, 0.505, 0, 0.594)
    assert column(result, "slippage") == near(0, 5, 0, 6)
    trade = result.trades.row(0, named=True)
    assert trade["entry_time"] == FIRST
    assert trade["exit_time"] == FIRST + timedelta(hours=2)
    assert (trade["side"], trade["units"], trade["entry_price"], trade["exit_price"]) == ("long", 5, 100, 120)
    assert [trade["gross_pnl"], trade["costs"], trade["net_pnl"]] == near(100, 12.099, 87.901)
    assert result.total_return == pytest.approx(0.087901, rel=1e-12)
    assert result.costs.total == pytest.approx(12.099, rel=1e-12)
    assert result.costs.total_share == pytest.approx(0.012099, rel=1e-12)
    assert result.turnover == pytest.approx((500 + 600) / ((1000 + 1044.495 + 1094.495 + 1087.901) / 4))
    assert (result.n_trades, result.win_rate, result.profit_factor) == (1, 1.0, None)
    assert result.reasons["profit_factor"] == "no closed trade lost money"


def test_whole_equity_under_a_cap_of_one_spends_cash_to_the_last_cent():
    bars = flat_bars([(100, 100), (100, 110)])

    result = buy_and_hold(bars, HOUR, make_settings(fee_bps=10, slippage_bps=100), None)

    assert column(result, "units")[1] == pytest.approx(1000 / (101 * 1.001), rel=1e-14)
    assert column(result, "cash")[1] == pytest.approx(0, abs=1e-9)
    assert result.exposure == pytest.approx(1, rel=1e-12)


def test_short_earns_when_the_price_falls():
    bars = flat_bars([(100, 100), (100, 90), (80, 80)])
    settings = make_settings(fee_bps=10, slippage_bps=100)

    result = run_backtest(bars, HOUR, make_positions(bars, [-0.5, 0]), settings, None)

    # 5 coins sold at 99: 495, fee 0.495; bought back at 80.8: 404, fee 0.404
    assert column(result, "units") == near(0, -5, 0)
    assert column(result, "cash") == near(1000, 1494.505, 1090.101)
    assert column(result, "equity") == near(1000, 1044.505, 1090.101)
    trade = result.trades.row(0, named=True)
    assert trade["side"] == "short"
    assert [trade["gross_pnl"], trade["costs"], trade["net_pnl"]] == near(100, 5 + 4 + 0.495 + 0.404, 90.101)


def test_turn_closes_one_trade_and_opens_the_next_in_one_fill():
    bars = flat_bars([(100, 100), (100, 110), (120, 110), (110, 100)])
    settings = make_settings(fee_bps=100)

    result = run_backtest(bars, HOUR, make_positions(bars, [0.5, -0.5]), settings, None)

    # 5 coins for 500, fee 5; at 120 equity is 495 + 600 = 1095, half of it short is 547.5 / 120 = 4.5625
    # 9.5625 coins sold for 1147.5, fee 11.475
    assert column(result, "units") == near(0, 5, -4.5625, -4.5625)
    assert column(result, "cash") == near(1000, 495, 1631.025, 1631.025)
    assert column(result, "equity") == near(1000, 1045, 1631.025 - 501.875, 1631.025 - 456.25)
    assert result.trades["side"].to_list() == ["long", "short"]
    assert result.trades["exit_time"].to_list() == [FIRST + timedelta(hours=1), None]
    assert result.trades["gross_pnl"].to_list() == near(100, 91.25)
    assert result.trades["costs"].to_list() == near(5 + 6, 5.475)


def test_resizing_stays_inside_one_trade():
    bars = flat_bars([(100, 100), (100, 100), (125, 125), (125, 100), (100, 100)])

    result = run_backtest(bars, HOUR, make_positions(bars, [0.5, 1, 0.5, 0]), make_settings(), None)

    # 5 at 100; equity 1125 buys 4 more at 125; 9 at 125 halved to 4.5; sold at 100
    assert column(result, "units") == near(0, 5, 9, 4.5, 0)
    trade = result.trades.row(0, named=True)
    assert result.n_trades == 1
    assert trade["units"] == pytest.approx(9)
    assert trade["entry_price"] == pytest.approx((5 * 100 + 4 * 125) / 9)
    assert trade["exit_price"] == pytest.approx((4.5 * 125 + 4.5 * 100) / 9)
    assert trade["net_pnl"] == pytest.approx(12.5)
    assert column(result, "equity")[-1] == pytest.approx(1012.5)


@pytest.mark.parametrize(
    ("target", "rate", "paid"), [(0.5, 0.01, 5.5), (0.5, -0.01, -5.5), (-0.5, 0.01, -5.5)]
)
def test_funding_is_paid_on_what_is_held_when_the_stamp_strikes(target, rate, paid):
    bars = flat_bars([(100, 100), (100, 110), (110, 110), (110, 110)])
    stamp = FIRST + timedelta(hours=1)  # the open of the third bar, at 110, where the position is closed
    funding = make_funding({FIRST: 0.5, stamp: rate})  # at the first stamp nothing is held yet

    result = run_backtest(bars, HOUR, make_positions(bars, [target, 0]), make_settings(), funding)

    assert column(result, "funding") == near(0, 0, paid, 0)
    assert column(result, "equity")[-1] == pytest.approx(1000 + 100 * target - paid, rel=1e-12)
    assert result.trades["costs"].to_list() == near(paid)
    assert (result.costs.funding, result.funding_source) == (pytest.approx(paid), "stored")


@pytest.mark.parametrize("target", [0.5, -0.5])
def test_assumed_funding_is_charged_to_either_side_at_eight_hours(target):
    bars = flat_bars([(100, 100)] * 18)  # opens 00:00 to 17:00: 08:00 and 16:00 strike while it is held

    result = run_backtest(
        bars, HOUR, make_positions(bars, [target]), make_settings(assumed_funding_8h=0.01), None
    )

    assert column(result, "funding") == near(*[0] * 8, 5, *[0] * 7, 5, 0)
    assert column(result, "equity")[-1] == pytest.approx(990)
    assert result.funding_source == "assumed"


def test_stamps_inside_a_daily_bar_are_settled_at_the_next_open():
    day = Timeframe(1440)
    bars = make_bars([(100, 100, 100, 100), (100, 110, 100, 110), (110, 110, 110, 110)], day, JANUARY_2)

    result = buy_and_hold(bars, day, make_settings(assumed_funding_8h=0.001), None)

    assert column(result, "funding") == near(0, 0, 3 * 0.001 * 10 * 110)  # 08:00, 16:00, 00:00


def test_after_a_gap_the_next_bar_that_exists_fills():
    bars = flat_bars([(100, 100), (100, 100), (100, 100), (80, 100)])
    gapped = bars[[0, 3]]

    result = buy_and_hold(gapped, HOUR, make_settings(), None)

    assert column(result, "units") == near(0, 12.5)
    assert result.trades["entry_time"].to_list() == [FIRST + timedelta(hours=2)]


def test_zero_trades_leave_the_account_as_it_was_and_say_why_there_are_no_ratios():
    bars = flat_bars([(100, 90), (90, 80), (80, 70)])

    result = run_backtest(bars, HOUR, make_positions(bars, [0, 0, 0]), make_settings(fee_bps=10), None)

    assert column(result, "equity") == [1000, 1000, 1000]
    assert result.trades.height == result.n_trades == 0
    assert (result.total_return, result.max_drawdown, result.exposure, result.turnover) == (0, 0, 0, 0)
    absent = ("sharpe_ratio", "sortino_ratio", "calmar_ratio", "win_rate", "profit_factor")
    assert all(getattr(result, name) is None for name in absent)
    assert set(result.reasons) == set(absent)
    assert list(result.measures().values()).count(None) == 5


def test_leverage_is_cut_to_the_cap(caplog):
    bars = flat_bars([(100, 100), (100, 100)])

    result = run_backtest(bars, HOUR, make_positions(bars, [5]), make_settings(max_leverage=3), None)

    assert column(result, "units")[1] == pytest.approx(30)
    assert "max_leverage" in caplog.text


def test_long_is_liquidated_at_the_price_where_equity_meets_the_margin():
    # 40 coins at 100 on 1000: cash -3000. Equity = 10 % of the value at p: 40 p - 3000 = 4 p, p = 83.33
    bars = make_bars([(100, 100, 100, 100), (100, 101, 80, 95), (95, 120, 95, 120)])
    settings = make_settings(max_leverage=5, maintenance_margin=0.1)
    result = run_backtest(bars, HOUR, make_positions(bars, [4, 3]), settings, None)

    assert result.liquidated
    assert column(result, "units") == near(0, 0, 0)  # the later order is not filled
    assert column(result, "equity") == near(1000, 40 * 3000 / 36 - 3000, 40 * 3000 / 36 - 3000)
    trade = result.trades.row(0, named=True)
    assert trade["exit_price"] == pytest.approx(3000 / 36)
    assert trade["exit_time"] == FIRST + timedelta(hours=1)


def test_short_is_liquidated_at_the_high_with_fee_and_slippage():
    bars = make_bars([(100, 100, 100, 100), (100, 200, 100, 100)])
    settings = make_settings(maintenance_margin=0.25, max_leverage=1, fee_bps=100, slippage_bps=100)

    result = run_backtest(bars, HOUR, make_positions(bars, [-0.5]), settings, None)

    # 5 coins sold at 99 less 1 % fee: cash 1490.05; liquidated at 1490.05 / (5 * 1.25) = 238.4: not reached
    assert not result.liquidated
    bars = make_bars([(100, 100, 100, 100), (100, 240, 100, 100)])
    result = run_backtest(bars, HOUR, make_positions(bars, [-0.5]), settings, None)

    price = 1490.05 / 6.25
    filled = price * 1.01
    assert result.liquidated
    assert column(result, "cash")[1] == pytest.approx(1490.05 - 5 * filled * 1.01, rel=1e-12)


def test_liquidation_leaves_enough_to_pay_for_the_closing():
    bars = make_bars([(100, 100, 100, 100), (100, 100, 50, 100)])
    settings = make_settings(max_leverage=2, maintenance_margin=0, fee_bps=100, slippage_bps=100)

    result = run_backtest(bars, HOUR, make_positions(bars, [2]), settings, None)

    # margin 0, but closing costs 1 % + 1.01 %: that is the maintenance, and the slippage is paid in full
    assert settings.maintenance == pytest.approx(0.0201)
    units = 2000 / (100 + 2 * 2.01)
    cash = 1000 - units * 102.01
    price = -cash / (units * (1 - 0.0201))
    assert result.trades["exit_price"].to_list() == near(price)
    assert column(result, "cash")[1] == pytest.approx(cash + units * price * 0.99 * 0.99, abs=1e-9)
    assert column(result, "slippage")[1] == pytest.approx(units * (1 + price * 0.01))


def test_gap_that_leaves_less_than_the_closing_costs_is_taken_over():
    bars = flat_bars([(100, 100), (100, 100), (75.5, 60)])
    settings = make_settings(max_leverage=4, slippage_bps=100)

    result = run_backtest(bars, HOUR, make_positions(bars, [4]), settings, None)

    units = 4000 / (100 + 4 * 1)  # equity is above 0 at the open, but slippage would take it below
    assert 0 < 1000 - units - units * 24.5 < units * 0.755
    assert column(result, "equity") == near(1000, 1000 - units, 0)
    assert column(result, "slippage") == near(0, units, 0)


def test_gap_through_ruin_leaves_nothing_and_no_less():
    bars = flat_bars([(100, 100), (100, 100), (50, 60), (60, 90)])
    settings = make_settings(max_leverage=4, fee_bps=10, slippage_bps=10)

    result = run_backtest(bars, HOUR, make_positions(bars, [4]), settings, None)

    assert result.liquidated
    assert column(result, "equity")[2:] == near(0, 0)
    assert (result.total_return, result.max_drawdown) == (pytest.approx(-1), pytest.approx(1))
    assert result.calmar_ratio == pytest.approx(-1)
    assert result.trades["net_pnl"].sum() == pytest.approx(-1000)


def test_gap_that_leaves_something_is_closed_at_the_open():
    bars = flat_bars([(100, 100), (100, 100), (76, 60)])
    settings = make_settings(max_leverage=4, maintenance_margin=0.1)

    result = run_backtest(bars, HOUR, make_positions(bars, [4]), settings, None)

    assert column(result, "equity") == near(1000, 1000, 40)  # 40 coins lost 24 each
    assert result.trades["exit_time"].to_list() == [FIRST + timedelta(hours=1)]


def test_funding_can_ruin_but_takes_no_more_than_there_is():
    bars = flat_bars([(100, 100), (100, 100), (100, 100)])
    funding = make_funding({datetime(2025, 1, 1, 2, tzinfo=UTC): 0.5})

    result = run_backtest(bars, HOUR, make_positions(bars, [4]), make_settings(max_leverage=4), funding)

    assert result.liquidated
    assert column(result, "funding") == near(0, 0, 1000)
    assert column(result, "equity") == near(1000, 1000, 0)
