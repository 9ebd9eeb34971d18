"""All that is asked of a strategy before it is believed, in one place.

In: an exchange that is open, forecasts, bars, the strategy. Out: a `Study`: the scales side by side, the
strategy's timing against chance, what costs and delays do to it, what the order of its trades hides,
what is left of its Sharpe ratio after all that was tried, and where it earned.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Final

import numpy as np
import polars as pl

from polyscale.backtesting.engine import Exchange
from polyscale.backtesting.measures import Absent
from polyscale.backtesting.settings import BacktestSettings
from polyscale.evaluation.bootstrap import Bootstrap, block_length
from polyscale.evaluation.settings import EvaluationSettings
from polyscale.evaluation.trade_order import TradeOrder, shuffle_trades
from polyscale.evaluation.trading.compare import (
    HOLD,
    Line,
    ScaleComparison,
    compare_scale_strategies,
    trade_returns,
)
from polyscale.evaluation.trading.periods import PartResult, by_hour, by_month, by_regime
from polyscale.evaluation.trading.random_entries import RandomEntries, random_entries
from polyscale.evaluation.trading.sensitivity import Variation, break_even_cost, vary
from polyscale.evaluation.trading.significance import Significance, judge_sweep
from polyscale.evaluation.trading.sweep import sweep
from polyscale.market.forecast import Forecast
from polyscale.market.timeframe import Timeframe
from polyscale.strategy.decide import decide
from polyscale.strategy.managed import ManagedSettings
from polyscale.strategy.settings import StrategySettings
from polyscale.strategy.signal import traded_horizon

CONFIDENCES: Final = (0.5, 0.525, 0.55, 0.6)
EDGES: Final = (0.0, 1.0, 2.0)
SIZINGS: Final = ("fixed", "confidence", "volatility")


@dataclass(frozen=True, eq=False)
class Study:
    """One strategy of one symbol over one test."""

    comparison: ScaleComparison
    traded: str  # the line that is looked into: the strategy's horizon
    random: RandomEntries | Absent
    variations: tuple[Variation, ...]
    break_even_bps: float | Absent  # cost per value traded at which nothing is left
    trade_order: TradeOrder | Absent
    significance: Significance
    by_month: tuple[PartResult, ...]
    by_hour: tuple[PartResult, ...]
    by_regime: tuple[PartResult, ...]

    @property
    def line(self) -> Line:
        """The line that is looked into."""
        return self.comparison.line(self.traded)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for metrics.json; None where there is none."""
        return {
            "traded": self.traded,
            "lines": {line.name: _plain_line(line) for line in self.comparison.lines},
            "reasons": self.comparison.reasons,
            "random_entries": _plain(self.random),
            "variations": [asdict(row) for row in self.variations],
            "break_even_bps": _plain(self.break_even_bps),
            "trade_order": _plain(self.trade_order),
            "significance": {
                "sharpe": asdict(self.significance.sharpe),
                "overfitting": {
                    "probability": self.significance.overfitting.probability,
                    "probability_of_loss": self.significance.overfitting.probability_of_loss,
                    "num_sets": self.significance.overfitting.num_sets,
                    "reason": self.significance.overfitting.reason,
                },
            },
            "by_month": [asdict(part) for part in self.by_month],
            "by_hour": [asdict(part) for part in self.by_hour],
            "by_regime": [asdict(part) for part in self.by_regime],
        }


def study(
    exchange: Exchange,
    forecast: Forecast,
    bars: pl.DataFrame,
    strategy: StrategySettings,
    costs: BacktestSettings,
    managed: ManagedSettings,
    judged: EvaluationSettings,
) -> Study:
    """Ask everything of one symbol's strategy.

    Parameters
    ----------
    exchange
        Opened on the bars, of one symbol.
    forecast
        At origins that are closes of the bars.
    judged
        Level, draws and seed of all intervals; trials that were made elsewhere.

    Raises
    ------
    DataError
        If the bars hold fewer than two days, or break another contract of the parts.
    """
    (symbol,) = exchange.grid.symbols
    horizon = traded_horizon(forecast, strategy)
    forecast.horizon_index(horizon)  # a horizon that was not forecast is told as such
    comparison = compare_scale_strategies(
        exchange, {symbol: forecast}, {symbol: bars}, strategy, costs, managed, judged
    )
    line, hold = comparison.line(str(horizon)), comparison.line(HOLD).result
    found = sweep(
        exchange,
        [strategy, *strategy_sets(strategy, forecast.horizons)],
        lambda rules: {symbol: decide(forecast, rules, costs.round_trip_cost, bars)},
        costs,
    )
    bars_held = exchange.grid.timeframe.bars_in(horizon)
    bootstrap = Bootstrap(
        block_length(bars.height, bars_held), judged.confidence, judged.num_bootstrap, judged.seed
    )
    return Study(
        comparison,
        line.name,
        random_entries(exchange, line.positions, costs, num_draws=judged.num_random, seed=judged.seed),
        vary(exchange, line.positions, costs),
        break_even_cost(exchange, line.positions, costs),
        shuffle_trades(trade_returns(line.result), seed=judged.seed),
        judge_sweep(found, chosen=0, other_trials=judged.other_trials),
        by_month(line.result, hold, bootstrap),
        by_hour(line.result, hold, bootstrap),
        by_regime(line.result, hold, _volatility(forecast, bars), bootstrap),
    )


def strategy_sets(strategy: StrategySettings, horizons: tuple[Timeframe, ...]) -> list[StrategySettings]:
    """The grid over which a strategy might have been chosen: horizon, confidence, edge over cost, sizing."""
    grid = product(sorted(horizons), CONFIDENCES, EDGES, SIZINGS)
    names = ("horizon", "confidence", "edge_over_cost", "sizing")
    return [strategy.model_copy(update=dict(zip(names, each, strict=True))) for each in grid]


def _volatility(forecast: Forecast, bars: pl.DataFrame) -> np.ndarray:
    """[T] newest forecast at each close of the shortest horizon; before the first one the first."""
    close_ms = bars["close_time"].dt.epoch("ms").to_numpy()
    origins = forecast.close_time.astype("datetime64[ms]").astype(np.int64)
    newest = np.maximum(np.searchsorted(origins, close_ms, side="right") - 1, 0)
    return np.asarray(forecast.volatility[newest, forecast.horizon_index(min(forecast.horizons))])


def _plain_line(line: Line) -> dict[str, Any]:
    costs = line.result.costs
    return {
        **line.result.measures(),
        "costs": costs.total_share,
        "over_hold": asdict(line.over_hold),
        "reasons": line.result.reasons,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Absent):
        return {"value": None, "reason": value.reason}
    return asdict(value) if hasattr(value, "__dataclass_fields__") else {"value": value, "reason": ""}
