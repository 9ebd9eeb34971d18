"""Which side a forecast takes at each origin, if any.

In: a `Forecast`, the rules, the cost of a round trip. Out: a side per origin, known at its close.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polyscale.market.forecast import Forecast
from polyscale.market.timeframe import Timeframe
from polyscale.strategy.settings import StrategySettings

Sides = NDArray[np.int8]


def traded_horizon(forecast: Forecast, settings: StrategySettings) -> Timeframe:
    """The horizon that is traded: the settings' own, else the longest forecast."""
    return settings.horizon or max(forecast.horizons)


def signals(forecast: Forecast, settings: StrategySettings, round_trip_cost: float) -> Sides:
    """Side of the signal at each origin: 1 buys, -1 sells, 0 is no signal.

    A side needs at least `confidence` of probability, and an expected move *to that side* of at least
    ``edge_over_cost * round_trip_cost``. A forecast whose probability and expected return point to
    different sides is no signal: it contradicts itself. All horizons of `agree` must have more than half of
    their probability on that side. Where `every` is given, an origin off its grid is no signal.
    """
    h = forecast.horizon_index(traded_horizon(forecast, settings))
    prob_up = forecast.prob_up[:, h]
    side = np.sign(prob_up - 0.5)
    taken = np.maximum(prob_up, 1.0 - prob_up) >= settings.confidence
    taken &= side * forecast.expected_return[:, h] >= settings.edge_over_cost * round_trip_cost
    for horizon in settings.agree:
        taken &= side * (forecast.prob_up[:, forecast.horizon_index(horizon)] - 0.5) > 0.0
    if settings.every is not None:
        taken &= on_grid(forecast.close_time, settings.every)
    return np.where(taken, side, 0).astype(np.int8)


def on_grid(close_time: NDArray[np.datetime64], every: Timeframe) -> NDArray[np.bool_]:
    """Which closes are closes of a timeframe."""
    close_ms = close_time.astype("datetime64[ms]").astype(np.int64)
    return np.asarray((close_ms - every.offset_ms) % every.ms == 0)
