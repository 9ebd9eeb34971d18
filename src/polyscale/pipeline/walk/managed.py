"""Volatility-managed holding by everybody's forecast over a walk-forward's tests, net of costs.

In: a symbol's track and bars, the config. Out: one comparison per horizon. Each horizon looks at its size on
its own grid of closes, but at least as often as the settings say.
"""

from __future__ import annotations

import numpy as np

from polyscale.backtesting.engine import Asset, Exchange
from polyscale.config.run_config import RunConfig
from polyscale.evaluation.trading.managed import ManagedComparison, compare_managed
from polyscale.market.forecast import Floats
from polyscale.pipeline.account import account_settings
from polyscale.pipeline.judge import bars_of_test
from polyscale.pipeline.load import SymbolBars
from polyscale.pipeline.walk.assemble import OWN, Track

RIVALS = ("log-HAR", "base")  # whose size is held against the network's, beside the constant one


def managed_of(track: Track, item: SymbolBars, config: RunConfig) -> list[ManagedComparison]:
    """Run the accounts from the first test to the last; at every horizon where all forecasts are known."""
    bars = bars_of_test(item.bars, track.forecast)
    costs = account_settings(config)
    exchange = Exchange.open({item.symbol: Asset(bars, item.funding, item.rules)}, config.data.base, costs)
    found = []
    for h, horizon in enumerate(config.data.horizons):
        volatilities = _volatilities(track, h, config.data.base.bars_in(horizon))
        known = np.logical_and.reduce([np.isfinite(each) for each in volatilities.values()])
        every = min(max(horizon, config.evaluation.every), config.managed.every)
        found.append(
            compare_managed(
                exchange,
                track.forecast.close_time[known],
                {name: each[known] for name, each in volatilities.items()},
                horizon,
                config.managed.model_copy(update={"every": every}),
                costs,
                config.evaluation,
            )
        )
    return found


def _volatilities(track: Track, h: int, num_bars: int) -> dict[str, Floats]:
    """[N] of the return over the horizon, by name; the network's first."""
    names = [OWN, *(name for name in RIVALS if name in track.entries)]
    return {name: np.exp(0.5 * track.entries[name].log_variance[:, h]) * np.sqrt(num_bars) for name in names}
