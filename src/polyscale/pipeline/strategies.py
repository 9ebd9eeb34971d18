"""Strategies from Python: one symbol or many, each scale alone and together, and all that is asked of them.

These are thin: bars are cut to the forecasts, an exchange is opened on them, and the parts of `strategy`,
`backtesting` and `evaluation.trading` are called.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from polyscale.backtesting.engine import Asset, Exchange
from polyscale.backtesting.result import BacktestResult
from polyscale.backtesting.settings import BacktestSettings
from polyscale.evaluation.settings import EvaluationSettings
from polyscale.evaluation.trading import compare, study
from polyscale.market.errors import ConfigError
from polyscale.market.forecast import Forecast
from polyscale.market.order_rules import OrderRules
from polyscale.market.position import Positions
from polyscale.market.timeframe import Timeframe
from polyscale.strategy.managed import ManagedSettings
from polyscale.strategy.portfolio import PortfolioSettings, build_portfolio
from polyscale.strategy.settings import StrategySettings
from polyscale.strategy.span import bars_of_test

Bars = Mapping[str, pl.DataFrame]
Forecasts = Mapping[str, Forecast]
Funding = Mapping[str, pl.DataFrame]
Rules = Mapping[str, OrderRules]


def compare_scale_strategies(
    forecasts: Forecasts,
    bars: Bars,
    timeframe: str,
    strategy: StrategySettings,
    costs: BacktestSettings,
    funding: Funding | None = None,
    *,
    managed: ManagedSettings | None = None,
    judged: EvaluationSettings | None = None,
    rules: Rules | None = None,
) -> compare.ScaleComparison:
    """Trade each horizon alone and all of them together under the same rules, beside holding.

    Parameters
    ----------
    forecasts, bars
        By symbol; bars checked, of one timeframe. Each symbol is traded from its first forecast to its last,
        all of them on one account.
    strategy
        Rules of every line; its horizon is replaced by each in turn.
    funding
        Stored rates by symbol; where there are none ``costs.assumed_funding_8h`` is charged to either side.
    managed
        Of volatility-managed holding; absent for its defaults.
    judged
        Level, draws and seed of the intervals; absent for the defaults.
    rules
        Steps and least sizes of orders by symbol; absent for none.

    Returns
    -------
    ScaleComparison
        ``lines``: name, positions, `BacktestResult`, and the interval of the mean daily return over holding.

    Raises
    ------
    ConfigError
        If symbols differ.
    DataError
        If bars, funding or forecasts break their contract.
    """
    spanned, exchange = _open(forecasts, bars, timeframe, costs, funding, rules)
    return compare.compare_scale_strategies(
        exchange,
        forecasts,
        spanned,
        strategy,
        costs,
        managed or ManagedSettings(),
        judged or EvaluationSettings(),
    )


def study_strategy(
    forecast: Forecast,
    bars: pl.DataFrame,
    timeframe: str,
    strategy: StrategySettings,
    costs: BacktestSettings,
    funding: pl.DataFrame | None = None,
    *,
    managed: ManagedSettings | None = None,
    judged: EvaluationSettings | None = None,
    symbol: str = "",
) -> study.Study:
    """Ask everything of one symbol's strategy: scales, timing, costs, order of trades, significance, when.

    Parameters
    ----------
    judged
        ``other_trials`` counts the strategies that were looked at before: they deflate the Sharpe ratio.

    Raises
    ------
    DataError
        If bars, funding or the forecast break their contract, or hold fewer than two days.
    """
    given = None if funding is None else {symbol: funding}
    spanned, exchange = _open({symbol: forecast}, {symbol: bars}, timeframe, costs, given, None)
    return study.study(
        exchange,
        forecast,
        spanned[symbol],
        strategy,
        costs,
        managed or ManagedSettings(),
        judged or EvaluationSettings(),
    )


def backtest_portfolio(
    forecasts: Forecasts,
    bars: Bars,
    timeframe: str,
    portfolio: PortfolioSettings,
    costs: BacktestSettings,
    funding: Funding | None = None,
    *,
    rules: Rules | None = None,
) -> BacktestResult:
    """Trade many symbols and horizons on one account, under the portfolio's limits.

    Parameters
    ----------
    bars
        By symbol, with as much past as there is: it stands behind the correlations. Each symbol is traded
        from its first forecast to its last.

    Raises
    ------
    ConfigError
        If symbols differ, or the allocation needs a library that is not installed.
    DataError
        If bars, funding or forecasts break their contract.
    """
    _, exchange = _open(forecasts, bars, timeframe, costs, funding, rules)
    built = build_portfolio(forecasts, bars, portfolio, costs.round_trip_cost)
    return exchange.run(built.positions, costs)


def backtest_positions(
    positions: Mapping[str, Positions],
    bars: Bars,
    timeframe: str,
    costs: BacktestSettings,
    funding: Funding | None = None,
    *,
    rules: Rules | None = None,
) -> BacktestResult:
    """Trade positions of one's own, of one symbol or many on one account.

    Parameters
    ----------
    positions
        By symbol, each decided at the close of one of its bars and filled at its next bar's open.
    bars
        By symbol, checked. The run spans all of them: cut them to the time that is to be measured.
    funding, rules
        As in `compare_scale_strategies`.

    Raises
    ------
    ConfigError
        If funding or rules are of symbols without bars.
    DataError
        If bars, funding or positions break their contract.
    """
    return _exchange(bars, timeframe, costs, funding, rules).run(positions, costs)


def _open(
    forecasts: Forecasts,
    bars: Bars,
    timeframe: str,
    costs: BacktestSettings,
    funding: Funding | None,
    rules: Rules | None,
) -> tuple[dict[str, pl.DataFrame], Exchange]:
    """Bars from each symbol's first forecast to its last, and an exchange on them."""
    if not forecasts or set(forecasts) != set(bars):
        raise ConfigError(
            f"bars must be given for the symbols that are forecast {list(forecasts)}, got {list(bars)}"
        )
    spanned = {symbol: bars_of_test(bars[symbol], forecasts[symbol]) for symbol in forecasts}
    return spanned, _exchange(spanned, timeframe, costs, funding, rules)


def _exchange(
    bars: Bars,
    timeframe: str,
    costs: BacktestSettings,
    funding: Funding | None,
    rules: Rules | None,
) -> Exchange:
    strangers = [symbol for each in (funding, rules) for symbol in (each or {}) if symbol not in bars]
    if strangers:
        raise ConfigError(f"funding and rules must be of {list(bars)}, got {strangers} as well")
    assets = {
        symbol: Asset(frame, (funding or {}).get(symbol), (rules or {}).get(symbol, OrderRules()))
        for symbol, frame in bars.items()
    }
    return Exchange.open(assets, Timeframe.parse(timeframe), costs)
