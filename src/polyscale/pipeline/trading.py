"""The trading of a run: its account on the market that it is on, its strategy, what there is to say of it.

In: the config, forecasts, bars with funding and order rules. Out: backtests, studies, the portfolio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import polars as pl

from polyscale.backtesting.engine import Asset, Exchange
from polyscale.backtesting.measures import Absent
from polyscale.backtesting.result import BacktestResult
from polyscale.backtesting.settings import BacktestSettings
from polyscale.config.run_config import RunConfig
from polyscale.evaluation.trading.by_period import last_bars
from polyscale.evaluation.trading.study import Study, study
from polyscale.evaluation.trading.sweep import DAY
from polyscale.market.forecast import Forecast
from polyscale.market.position import Positions
from polyscale.pipeline.load import SymbolBars
from polyscale.report.page import PortfolioReport
from polyscale.strategy.decide import decide
from polyscale.strategy.portfolio import PortfolioSettings, build_portfolio
from polyscale.strategy.span import bars_of_test

MIN_DAYS: Final = 2  # a study compares days


def account_settings(config: RunConfig) -> BacktestSettings:
    """Costs and margin; a spot market pays no funding, whether the config says so or not."""
    if config.market.category == "spot" and config.backtest.assumed_funding_8h is None:
        return config.backtest.model_copy(update={"assumed_funding_8h": 0.0})
    return config.backtest


def exchange_of(config: RunConfig, bars: pl.DataFrame, item: SymbolBars) -> Exchange:
    """The symbol's own exchange over the given bars of it, with its funding and order rules."""
    asset = Asset(bars, item.funding, item.rules)
    return Exchange.open({item.symbol: asset}, config.data.base, account_settings(config))


def trade(
    config: RunConfig, exchange: Exchange, forecast: Forecast, bars: pl.DataFrame
) -> tuple[BacktestResult, BacktestResult]:
    """The strategy's backtest and buy-and-hold's, on the same bars of one symbol and at the same costs."""
    (symbol,), costs = exchange.grid.symbols, account_settings(config)
    positions = decide(forecast, config.strategy, costs.round_trip_cost, bars)
    whole = Positions(positions.close_time[:1], np.ones(1))
    return exchange.run({symbol: positions}, costs), exchange.run({symbol: whole}, costs)


def study_of(config: RunConfig, exchange: Exchange, forecast: Forecast, bars: pl.DataFrame) -> Study | Absent:
    """What there is to say of the strategy beside its result; nothing of a test shorter than two days."""
    if len(last_bars(exchange.grid, DAY)) < MIN_DAYS:
        return Absent(f"the test is shorter than {MIN_DAYS} days")
    costs = account_settings(config)
    return study(exchange, forecast, bars, config.strategy, costs, config.managed, config.evaluation)


def trade_portfolio(
    config: RunConfig,
    settings: PortfolioSettings,
    forecasts: Mapping[str, Forecast],
    items: Sequence[SymbolBars],
) -> PortfolioReport:
    """All symbols on one account, over the closes at which any of them was tested.

    Bars before the test stand behind correlations alone.
    """
    by_symbol, costs = {item.symbol: item for item in items}, account_settings(config)
    bars = {symbol: by_symbol[symbol].bars for symbol in forecasts}
    portfolio = build_portfolio(forecasts, bars, settings, costs.round_trip_cost)
    assets = {
        symbol: Asset(
            bars_of_test(bars[symbol], forecast), by_symbol[symbol].funding, by_symbol[symbol].rules
        )
        for symbol, forecast in forecasts.items()
    }
    exchange = Exchange.open(assets, config.data.base, costs)
    part = 1.0 / len(assets)
    hold = {
        symbol: Positions(positions.close_time[:1], np.full(1, part))
        for symbol, positions in portfolio.positions.items()
    }
    return PortfolioReport(portfolio, exchange.run(portfolio.positions, costs), exchange.run(hold, costs))
