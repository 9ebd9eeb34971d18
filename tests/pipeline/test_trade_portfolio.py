"""All symbols on one account: measured over the test, beside equal parts that are held."""

import numpy as np
import polars as pl
import pytest

import polyscale
from polyscale.backtesting.settings import BacktestSettings
from polyscale.config.run_config import parse_config
from polyscale.market.bars import Market
from polyscale.pipeline.load import SymbolBars
from polyscale.pipeline.trading import trade_portfolio
from tests.pipeline.small import small
from tests.strategy.test_portfolio import portfolio_settings, two_markets

NUM, FIRST = 24 * 20, 24 * 10 + 5
SETTINGS = portfolio_settings(allocation="inverse_volatility", target_volatility=0.4)


@pytest.fixture(scope="module")
def told():
    forecasts, bars = two_markets(NUM)
    tested = {symbol: each.at(np.arange(FIRST, NUM)) for symbol, each in forecasts.items()}
    text = small().replace("{timeframe: 15m, lookback: 16}, ", "").replace("timeframe: 15m", "timeframe: 1h")
    text = text.replace("slippage_bps: 1,", "slippage_bps: 1, max_leverage: 3,")  # no cap on what is held
    config = parse_config(text.replace("encoders: [{layers: 1, heads: 2}, ", "encoders: ["), "two")
    items = [SymbolBars(Market("sim", "linear", symbol), frame) for symbol, frame in bars.items()]
    return tested, bars, trade_portfolio(config, SETTINGS, tested, items)


def test_it_is_measured_over_the_test_alone(told):
    tested, _, found = told
    times = found.result.ledger["close_time"].dt.replace_time_zone(None).to_numpy()
    np.testing.assert_array_equal(times, tested["AAA"].close_time)


def test_equal_parts_are_held_beside_it(told):
    _, bars, found = told
    held = found.hold.holdings.filter(pl.col("close_time") == pl.col("close_time").max())
    entry = [bars[symbol]["open"][FIRST + 1] for symbol in ("AAA", "BBB")]
    np.testing.assert_allclose(held["units"], 5_000 / np.array(entry), rtol=2e-3)


def test_bars_before_the_test_stand_behind_its_correlations(told):
    tested, bars, found = told
    costs = BacktestSettings(fee_bps=5, slippage_bps=1, assumed_funding_8h=1e-4, max_leverage=3)
    same = polyscale.backtest_portfolio(tested, bars, "1h", SETTINGS, costs)
    np.testing.assert_allclose(same.equity, found.result.equity, rtol=1e-12)
    cut = {symbol: frame[FIRST:] for symbol, frame in bars.items()}
    other = polyscale.backtest_portfolio(tested, cut, "1h", SETTINGS, costs)
    assert other.fills.height != same.fills.height or not np.allclose(other.equity, same.equity)
