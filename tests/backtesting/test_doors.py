"""What is refused, and with which words."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from polyscale.backtesting.engine import Asset, buy_and_hold, run_backtest, run_portfolio
from polyscale.backtesting.settings import BacktestSettings
from polyscale.market.errors import DataError
from polyscale.market.order_rules import OrderRules
from polyscale.market.position import Positions
from tests.backtesting.market import FIRST, HOUR, flat_bars, make_funding, make_positions, make_settings

BARS = flat_bars([(100, 100)] * 30)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fee_bps": -1}, r"(?s)fee_bps.*greater than or equal to 0"),
        ({"slippage_bps": -2}, r"(?s)slippage_bps.*greater than or equal to 0"),
        ({"initial_capital": 0}, r"(?s)initial_capital.*greater than 0"),
        ({"assumed_funding_8h": -1e-4}, r"(?s)assumed_funding_8h.*greater than or equal to 0"),
        ({"max_leverage": 50, "maintenance_margin": 0.02}, r"max_leverage .* must be < 1.* 50\.0 \* 0\.02"),
        ({"fees": 1}, r"(?s)fees.*Extra inputs"),
    ],
)
def test_settings_that_break_their_rule_are_refused(change, words):
    with pytest.raises(ValidationError, match=words):
        make_settings(**change)


@pytest.mark.parametrize("name", ["fee_bps", "slippage_bps"])
def test_costs_have_no_silent_default(name):
    costs = {"fee_bps": 5.5, "slippage_bps": 1, "assumed_funding_8h": 1e-4}
    del costs[name]
    with pytest.raises(ValidationError, match=rf"(?s){name}.*Field required"):
        BacktestSettings(**costs)


def test_funding_that_is_neither_given_nor_assumed_is_refused():
    costs = BacktestSettings(fee_bps=5.5, slippage_bps=1)
    with pytest.raises(DataError, match=r"BTCUSDT: funding is missing.*perpetual.*assumed_funding_8h"):
        buy_and_hold(BARS, HOUR, costs, None, symbol="BTCUSDT")


@pytest.mark.parametrize(
    ("target", "level", "price", "words"),
    [
        (1, "stop", 100, "stop of a long must lie below its entry, got 100 with an entry at 100"),
        (1, "stop", 105, "stop of a long must lie below its entry, got 105"),
        (-1, "stop", 95, "stop of a short must lie above its entry, got 95"),
        (1, "take_profit", 99, "take_profit of a long must lie above its entry, got 99"),
        (-1, "take_profit", 101, "take_profit of a short must lie below its entry, got 101"),
    ],
)
def test_levels_on_the_wrong_side_of_the_entry_are_refused(target, level, price, words):
    positions = Positions(
        make_positions(BARS, [0]).close_time, np.array([float(target)]), **{level: np.array([float(price)])}
    )
    with pytest.raises(DataError, match=words):
        run_backtest(BARS, HOUR, positions, make_settings(), None)


def test_a_stop_is_held_against_the_limit_of_its_order():
    times = make_positions(BARS, [0]).close_time
    target, limit = np.ones(1), np.array([90.0])
    with pytest.raises(
        DataError, match=r"stop of a long must lie below its entry, got 95 with an entry at 90"
    ):
        run_backtest(BARS, HOUR, Positions(times, target, limit, np.array([95.0])), make_settings(), None)


@pytest.mark.parametrize("price", [0.0, -5.0, np.inf])
def test_levels_that_are_no_prices_are_refused(price):
    times = make_positions(BARS, [0]).close_time
    with pytest.raises(DataError, match=r"positions\.stop must be a price > 0, or NaN for none"):
        Positions(times, np.ones(1), stop=np.array([price]))


def test_positions_of_a_symbol_without_bars_are_refused():
    positions = {"ETHUSDT": make_positions(BARS, [1])}
    with pytest.raises(DataError, match=r"symbols with bars \['BTCUSDT'\], got \['ETHUSDT'\]"):
        run_portfolio({"BTCUSDT": Asset(BARS)}, HOUR, positions, make_settings())


def test_an_account_without_symbols_is_refused():
    with pytest.raises(DataError, match="at least one symbol"):
        run_portfolio({}, HOUR, {}, make_settings())


@pytest.mark.parametrize("name", ["lot_step", "min_quantity", "min_notional"])
def test_order_rules_below_zero_are_refused(name):
    with pytest.raises(DataError, match=rf"order_rules\.{name} must be a finite number >= 0, got -1"):
        OrderRules(**{name: -1.0})


def test_missing_prices_are_refused():
    holed = BARS.with_columns(close=pl.when(pl.int_range(pl.len()) == 3).then(None).otherwise("close"))
    with pytest.raises(DataError, match="close must be a finite number"):
        buy_and_hold(holed, HOUR, make_settings(), None)


def test_one_bar_is_too_few():
    with pytest.raises(DataError, match=r"needs >= 2 bars.*got 1"):
        buy_and_hold(BARS[:1], HOUR, make_settings(), None)


def test_positions_where_there_is_no_bar_are_refused():
    positions = make_positions(BARS, [1, 0, 1])
    with pytest.raises(DataError, match=r"1 of 3 are not, first 2025-01-01T02"):
        run_backtest(BARS[[0, 2, 3, 4]], HOUR, positions, make_settings(), None)
    with pytest.raises(DataError, match="3 of 3 are not"):
        run_backtest(BARS[5:], HOUR, positions, make_settings(), None)


def test_positions_out_of_order_are_refused():
    times = BARS["close_time"].dt.replace_time_zone(None).to_numpy()[[1, 0]]
    with pytest.raises(DataError, match=r"must rise.*2025-01-01T01"):
        run_backtest(BARS, HOUR, Positions(times, np.ones(2)), make_settings(), None)


def test_funding_that_does_not_cover_the_bars_is_refused():
    stamps = {FIRST + timedelta(hours=7): 1e-4, FIRST + timedelta(hours=23): 1e-4}
    with pytest.raises(DataError, match=r"none between 2025-01-01T08.* and 2025-01-02T00"):
        buy_and_hold(BARS, HOUR, make_settings(), make_funding(stamps))


def test_funding_in_percent_is_refused():
    with pytest.raises(DataError, match=r"fraction between -1 and 1, got 1\.5"):
        buy_and_hold(BARS, HOUR, make_settings(), make_funding({FIRST: 1.5}))
