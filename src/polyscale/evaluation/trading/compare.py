"""Each horizon alone, and all of them together, traded under the same rules on the same account.

In: an exchange that is open, a forecast per symbol, the bars, the rules. Out: a `ScaleComparison`: one line
per horizon, one for their combination, and beside them buying and holding, and holding managed by the
forecast volatility. All pay all costs. What a line earned a day more than holding has a block-bootstrap
interval; with several lines the best of them is the best by chance as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from polyscale.backtesting.book import BAR
from polyscale.backtesting.engine import Exchange
from polyscale.backtesting.result import BacktestResult
from polyscale.backtesting.settings import BacktestSettings
from polyscale.evaluation.bootstrap import Bootstrap, Interval, block_length, mean_interval
from polyscale.evaluation.settings import EvaluationSettings
from polyscale.evaluation.trading.by_period import returns_by
from polyscale.evaluation.trading.entries import opens_trade
from polyscale.market.errors import DataError
from polyscale.market.forecast import Forecast
from polyscale.market.position import Positions
from polyscale.market.timeframe import Timeframe
from polyscale.strategy.combine import combine
from polyscale.strategy.decide import decide
from polyscale.strategy.managed import ManagedSettings, volatility_managed
from polyscale.strategy.settings import StrategySettings

COMBINED: Final = "combined"
HOLD: Final = "buy and hold"
MANAGED: Final = "volatility-managed hold"
DAY: Final = Timeframe(1_440)


@dataclass(frozen=True, eq=False)
class Line:
    """One way to trade: its account, its daily returns less those of holding, and why it is not there."""

    name: str
    positions: Mapping[str, Positions]
    result: BacktestResult
    over_hold: Interval  # mean difference of daily returns, fraction


@dataclass(frozen=True, eq=False)
class ScaleComparison:
    """All lines, horizons first, from the shortest; a line that cannot be is among the reasons."""

    lines: tuple[Line, ...]
    reasons: dict[str, str]

    def line(self, name: str) -> Line:
        """The line of a name; `DataError` if there is none, with the reason."""
        for line in self.lines:
            if line.name == name:
                return line
        raise DataError(f"no line {name}: {self.reasons.get(name, 'there is none of this name')}")


def compare_scale_strategies(
    exchange: Exchange,
    forecasts: Mapping[str, Forecast],
    bars: Mapping[str, pl.DataFrame],
    strategy: StrategySettings,
    costs: BacktestSettings,
    managed: ManagedSettings,
    judged: EvaluationSettings,
) -> ScaleComparison:
    """Run every line.

    Several symbols share one account: each gets an equal part of it.

    Parameters
    ----------
    exchange
        Opened on the bars below.
    forecasts
        By symbol, of the same horizons.
    bars
        By the same symbols, those that are traded over.
    strategy
        Rules of every line; its horizon is replaced by each in turn.
    costs
        The account.
    managed
        The target of volatility-managed holding, by the longest horizon's forecast.
    judged
        Level and draws of the intervals.

    Raises
    ------
    DataError
        If the symbols differ, or the forecasts have different horizons.
    """
    _check(exchange, forecasts, bars)
    horizons = sorted(next(iter(forecasts.values())).horizons)
    part = 1.0 / len(forecasts)
    lines: dict[str, dict[str, Positions]] = {}
    for horizon in horizons:
        rules = strategy.model_copy(update={"horizon": horizon})
        lines[str(horizon)] = {
            symbol: decide(forecast, rules, costs.round_trip_cost, bars[symbol])
            for symbol, forecast in forecasts.items()
        }
    reasons = {}
    if strategy.has_levels:
        reasons[COMBINED] = "positions with a limit, stop or take-profit cannot be summed: one symbol has one"
    else:
        lines[COMBINED] = {
            symbol: combine([lines[str(horizon)][symbol] for horizon in horizons]) for symbol in forecasts
        }
    longest = max(horizons)
    lines[HOLD] = {symbol: _whole(frame) for symbol, frame in bars.items()}
    try:
        lines[MANAGED] = {
            symbol: volatility_managed(
                forecast.close_time, forecast.volatility[:, forecast.horizon_index(longest)], longest, managed
            )
            for symbol, forecast in forecasts.items()
        }
    except DataError as error:
        reasons[MANAGED] = str(error)
    shared = {name: {s: _scaled(p, part) for s, p in line.items()} for name, line in lines.items()}
    results = {name: exchange.run(positions, costs) for name, positions in shared.items()}
    daily = {name: returns_by(result, DAY) for name, result in results.items()}
    bootstrap = Bootstrap(
        block_length(len(daily[HOLD]), 1), judged.confidence, judged.num_bootstrap, judged.seed
    )
    return ScaleComparison(
        tuple(
            Line(name, shared[name], results[name], mean_interval(daily[name] - daily[HOLD], bootstrap))
            for name in shared
        ),
        reasons,
    )


def trade_returns(result: BacktestResult) -> np.ndarray:
    """Net return of each closed trade, as a share of the equity at the close before its entry's bar."""
    fills = result.events.fills
    entry_bar = fills[opens_trade(fills), BAR].astype(np.int64)  # of each trade; nothing fills in the first
    closed = result.trades["exit_time"].is_not_null().to_numpy()
    return np.asarray((result.trades["net_pnl"].to_numpy() / result.equity[entry_bar - 1])[closed])


def _whole(frame: pl.DataFrame) -> Positions:
    first = frame["close_time"].head(1).dt.epoch("ms").to_numpy().view("datetime64[ms]")
    return Positions(first, np.ones(1))


def _scaled(positions: Positions, part: float) -> Positions:
    if part == 1.0:
        return positions
    return Positions(
        positions.close_time,
        positions.target * part,
        positions.limit,
        positions.stop,
        positions.take_profit,
    )


def _check(exchange: Exchange, forecasts: Mapping[str, Forecast], bars: Mapping[str, pl.DataFrame]) -> None:
    if not forecasts or not set(forecasts) == set(bars) == set(exchange.grid.symbols):
        raise DataError(
            f"a comparison needs forecasts and bars of {list(exchange.grid.symbols)}, got {list(forecasts)} "
            f"and {list(bars)}"
        )
    horizons = {forecast.horizons for forecast in forecasts.values()}
    if len(horizons) > 1:
        raise DataError(f"all symbols must be forecast at the same horizons, got {sorted(horizons)}")
