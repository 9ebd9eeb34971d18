"""polyscale: one attention network over several time scales of a market.

The whole product from Python::

    import polyscale

    bars = polyscale.fetch("BTCUSDT", "5m", days=365)
    run = polyscale.fit("configs/btc_5m.yaml", {"BTCUSDT": bars})
    forecast = run.predict(bars)

Names load when they are used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscale import audit
    from polyscale.backtesting.settings import BacktestSettings
    from polyscale.market.bars import Market
    from polyscale.market.errors import PolyscaleError
    from polyscale.market.position import Positions
    from polyscale.market.timeframe import Timeframe
    from polyscale.pipeline.api import (
        attention_maps,
        audit_run,
        backtest,
        evaluate,
        explain_run,
        fit,
        load_run,
        read_bars,
        walk_forward,
    )
    from polyscale.pipeline.market_data import fetch
    from polyscale.pipeline.run import Run
    from polyscale.pipeline.strategies import (
        backtest_portfolio,
        backtest_positions,
        compare_scale_strategies,
        study_strategy,
    )
    from polyscale.store.store import Store
    from polyscale.strategy.portfolio import PortfolioSettings
    from polyscale.strategy.settings import StrategySettings

__version__ = "0.1.0"

_HOMES = {
    "attention_maps": "polyscale.pipeline.api",
    "audit_run": "polyscale.pipeline.api",
    "backtest": "polyscale.pipeline.api",
    "backtest_portfolio": "polyscale.pipeline.strategies",
    "backtest_positions": "polyscale.pipeline.strategies",
    "compare_scale_strategies": "polyscale.pipeline.strategies",
    "evaluate": "polyscale.pipeline.api",
    "explain_run": "polyscale.pipeline.api",
    "fetch": "polyscale.pipeline.market_data",
    "fit": "polyscale.pipeline.api",
    "load_run": "polyscale.pipeline.api",
    "read_bars": "polyscale.pipeline.api",
    "study_strategy": "polyscale.pipeline.strategies",
    "walk_forward": "polyscale.pipeline.api",
    "BacktestSettings": "polyscale.backtesting.settings",
    "Market": "polyscale.market.bars",
    "PolyscaleError": "polyscale.market.errors",
    "PortfolioSettings": "polyscale.strategy.portfolio",
    "Positions": "polyscale.market.position",
    "Run": "polyscale.pipeline.run",
    "Store": "polyscale.store.store",
    "StrategySettings": "polyscale.strategy.settings",
    "Timeframe": "polyscale.market.timeframe",
}

__all__ = [
    "BacktestSettings",
    "Market",
    "PolyscaleError",
    "PortfolioSettings",
    "Positions",
    "Run",
    "Store",
    "StrategySettings",
    "Timeframe",
    "__version__",
    "attention_maps",
    "audit",
    "audit_run",
    "backtest",
    "backtest_portfolio",
    "backtest_positions",
    "compare_scale_strategies",
    "evaluate",
    "explain_run",
    "fetch",
    "fit",
    "load_run",
    "read_bars",
    "study_strategy",
    "walk_forward",
]


def __getattr__(name: str) -> Any:
    """Load a name of the API when it is first used."""
    if name == "audit":
        return import_module("polyscale.audit")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'polyscale' has no attribute {name!r}; it has {__all__}")


def __dir__() -> list[str]:
    """Names of the API, loaded or not."""
    return __all__
