"""What a run came to, as plain data and in words."""

import pytest

import polyscale
from polyscale.backtesting.engine import Asset, Exchange
from polyscale.backtesting.settings import BacktestSettings
from polyscale.market.errors import DataError
from polyscale.market.forecast import Forecast
from polyscale.market.timeframe import Timeframe
from polyscale.pipeline.tell import portfolio_dict
from polyscale.report.page import PortfolioReport
from polyscale.strategy.portfolio import build_portfolio
from polyscale.strategy.settings import StrategySettings
from tests.strategy.test_portfolio import portfolio_settings, sleeve, two_markets

COSTS = BacktestSettings(fee_bps=5, slippage_bps=1, assumed_funding_8h=0)


def test_two_sleeves_of_one_horizon_are_both_told():
    forecasts, bars = two_markets(60)
    sleeves = [sleeve("4h", 0.5), sleeve("4h", 0.25, every="1d")]
    portfolio = build_portfolio(forecasts, bars, portfolio_settings(sleeves=sleeves), 0.0)
    exchange = Exchange.open({s: Asset(frame) for s, frame in bars.items()}, Timeframe(60), COSTS)
    result = exchange.run(portfolio.positions, COSTS)

    told = portfolio_dict(PortfolioReport(portfolio, result, result))

    assert list(told["mean_target_by_sleeve"]) == ["4h", "4h (2)"]
    by_sleeve, by_symbol = told["mean_target_by_sleeve"], told["mean_target_by_symbol"]
    assert by_sleeve["4h"] == pytest.approx(0.5)
    assert 2 * sum(by_sleeve.values()) == pytest.approx(sum(by_symbol.values()))


def test_a_forecast_at_no_origin_is_nothing_to_trade():
    _, bars = two_markets(60)
    empty = Forecast.empty((Timeframe(240),), (0.5,), ("1h",))
    with pytest.raises(DataError, match="the forecast is empty"):
        polyscale.study_strategy(empty, bars["AAA"], "1h", StrategySettings(), COSTS)
