"""Volatility-managed holding by everybody's forecast over a walk-forward's tests, net of costs.

In: a symbol's track and bars, the config. Out: one comparison per horizon. Each horizon looks at its size on
its own grid of closes, but at least as often as the settings say.
"""

from __future__ import annotations

import numpy as np

from polyscale.backtesting.engine import Exchange
from polyscale.config.run_config import RunConfig
from polyscale.evaluation.trading.by_period import last_bars
from polyscale.evaluation.trading.managed import ManagedComparison, compare_managed
from polyscale.evaluation.trading.sweep import DAY
from polyscale.market.errors import DataError
from polyscale.market.forecast import Floats
from polyscale.pipeline.load import SymbolBars
from polyscale.pipeline.trading import MIN_DAYS, account_settings, exchange_of
from polyscale.pipeline.walk.assemble import OWN, Track
from polyscale.strategy.span import bars_of_test

RIVALS = ("log-HAR", "base")  # whose size is held against the network's, beside the constant one


def managed_of(track: Track, item: SymbolBars, config: RunConfig) -> list[ManagedComparison] | str:
    """Run the accounts from the first test to the last; or why they cannot be, such as missing funding."""
    bars = bars_of_test(item.bars, track.forecast)
    try:
        exchange = exchange_of(config, bars, item)
        if len(last_bars(exchange.grid, DAY)) < MIN_DAYS:
            return f"the tests are shorter than {MIN_DAYS} days"
        return [_at(track, exchange, h, config) for h in range(len(config.data.horizons))]
    except DataError as error:
        return str(error)


def _at(track: Track, exchange: Exchange, h: int, config: RunConfig) -> ManagedComparison:
    """One horizon, at the origins where all forecasts are known."""
    horizon = config.data.horizons[h]
    volatilities = _volatilities(track, h, config.data.base.bars_in(horizon))
    known = np.logical_and.reduce([np.isfinite(each) for each in volatilities.values()])
    every = min(max(horizon, config.evaluation.every), config.managed.every)
    return compare_managed(
        exchange,
        track.forecast.close_time[known],
        {name: each[known] for name, each in volatilities.items()},
        horizon,
        config.managed.model_copy(update={"every": every}),
        account_settings(config),
        config.evaluation,
    )


def _volatilities(track: Track, h: int, num_bars: int) -> dict[str, Floats]:
    """[N] of the return over the horizon, by name; the network's first."""
    names = [OWN, *(name for name in RIVALS if name in track.entries)]
    return {name: np.exp(0.5 * track.entries[name].log_variance[:, h]) * np.sqrt(num_bars) for name in names}
