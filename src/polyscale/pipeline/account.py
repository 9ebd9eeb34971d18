"""The account of a run: what its config says of trading, for the market that it is on."""

from __future__ import annotations

from polyscale.backtesting.settings import BacktestSettings
from polyscale.config.run_config import RunConfig


def account_settings(config: RunConfig) -> BacktestSettings:
    """Costs and margin; a spot market pays no funding, whether the config says so or not."""
    if config.market.category == "spot" and config.backtest.assumed_funding_8h is None:
        return config.backtest.model_copy(update={"assumed_funding_8h": 0.0})
    return config.backtest
