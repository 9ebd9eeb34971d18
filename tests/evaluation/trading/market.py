"""Small markets and rules for the tests of what a backtest is worth."""

import numpy as np

from polyscale.backtesting.engine import Asset, Exchange
from polyscale.backtesting.settings import BacktestSettings
from polyscale.market.position import Positions
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe

FIVE = Timeframe(5)
COSTLY = {"fee_bps": 5.0, "slippage_bps": 1.0, "assumed_funding_8h": 1e-4}


def costs(**changes):
    return BacktestSettings(**{**COSTLY, **changes})


def walk(days=10, timeframe=FIVE, seed=1, kind="random_walk"):
    return simulate_bars(SimulationSettings(kind=kind, days=days, timeframe=timeframe, seed=seed))


def times_of(bars):
    return bars["close_time"].dt.replace_time_zone(None).to_numpy()


def open_market(settings, timeframe=FIVE, **bars):
    """An exchange of symbols whose bars are given by name."""
    return Exchange.open({symbol: Asset(frame) for symbol, frame in bars.items()}, timeframe, settings)


def coin_flips(num, rng, mean_length=6, targets=(-1.0, 0.0, 1.0)):
    """Targets that know nothing, each held for a random number of bars."""
    changes = rng.random(num) < 1 / mean_length
    return rng.choice(targets, num)[np.maximum.accumulate(np.where(changes, np.arange(num), 0))]


def positions_over(bars, targets, **levels):
    return Positions(times_of(bars), np.array(targets, dtype=np.float64), **levels)
