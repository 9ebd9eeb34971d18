"""From a forecast to target positions: which side, how much, and for how long.

In: a `Forecast`, the rules, the cost of a round trip. Out: `Positions`, one row per origin, decided at its
close from this row and those before it. `polyscale.backtesting` fills them at the next bar's open.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from polyscale.market.errors import ConfigError, DataError
from polyscale.market.forecast import Forecast
from polyscale.market.position import Positions
from polyscale.market.timeframe import Timeframe
from polyscale.strategy.settings import StrategySettings
from polyscale.strategy.sizing import sizes

Floats = NDArray[np.float64]
Sides = NDArray[np.int8]
Times = NDArray[np.int64]


def decide(
    forecast: Forecast,
    settings: StrategySettings,
    round_trip_cost: float,
    closes: NDArray[np.datetime64] | None = None,
) -> Positions:
    """Target position at each close, known there.

    A signal opens or resizes a position and holds it for one horizon from there; the other side's signal
    turns it; without a new signal it is closed when the horizon has passed. With shorts forbidden, a signal
    to sell closes a long position at once.

    Parameters
    ----------
    forecast
        Rows in rising time. They need not be evenly spaced: the hold is counted in time.
    settings
        `horizon` none means the longest forecast, whose expected move is the largest against one and the
        same cost.
    round_trip_cost
        Fraction of the value traded that entry and exit cost together, fees and slippage.
    closes
        Closes of all bars, rising, the forecast's among them; absent for the forecast's alone. A position
        whose time is over is closed at the first of them, also where a gap leaves no forecast.

    Raises
    ------
    ConfigError
        If the cost is negative or not finite.
    DataError
        If the horizon was not forecast, or times do not rise.
    """
    if not (math.isfinite(round_trip_cost) and round_trip_cost >= 0):
        raise ConfigError(f"round_trip_cost must be a fraction >= 0, got {round_trip_cost}")
    close_ms = forecast.close_time.astype("datetime64[ms]").astype(np.int64)
    if (np.diff(close_ms) <= 0).any():
        row = int(np.argmax(np.diff(close_ms) <= 0)) + 1
        raise DataError(
            f"forecast.close_time must rise, broken in row {row}: {forecast.close_time[row]}; sort it"
        )
    horizon = traded_horizon(forecast, settings)
    side = signals(forecast, settings, round_trip_cost)
    wanted = side * sizes(forecast, horizon, settings)
    if not settings.allow_short:
        wanted = np.maximum(wanted, 0.0)
    if closes is not None:
        close_ms, side, wanted = _at_closes(closes, close_ms, side, wanted)
    held = _hold(close_ms, side, wanted, horizon.ms, settings.rebalance)
    return Positions(close_ms.astype("datetime64[ms]"), held)


def _at_closes(
    closes: NDArray[np.datetime64], origin_ms: Times, side: Sides, wanted: Floats
) -> tuple[Times, Sides, Floats]:
    """Lay signals on the closes of all bars; a close without a forecast has no signal."""
    close_ms = closes.astype("datetime64[ms]").astype(np.int64)
    rows = np.searchsorted(close_ms, origin_ms)
    missing = (rows == len(close_ms)) | (close_ms[np.minimum(rows, len(close_ms) - 1)] != origin_ms)
    if missing.any():
        first = origin_ms[missing][:1].astype("datetime64[ms]")[0]
        raise DataError(
            f"closes must hold every forecast's close_time, {missing.sum()} of {len(origin_ms)} are not "
            f"there, first {first}; give the bars that the forecast was made from"
        )
    all_sides, all_wanted = np.zeros(len(close_ms), np.int8), np.zeros(len(close_ms))
    all_sides[rows], all_wanted[rows] = side, wanted
    return close_ms, all_sides, all_wanted


def traded_horizon(forecast: Forecast, settings: StrategySettings) -> Timeframe:
    """The horizon that is traded: the settings' own, else the longest forecast."""
    return settings.horizon or max(forecast.horizons)


def signals(forecast: Forecast, settings: StrategySettings, round_trip_cost: float) -> Sides:
    """Side of the signal at each origin: 1 buys, -1 sells, 0 is no signal.

    A side needs at least `confidence` of probability, and an expected move *to that side* of at least
    ``edge_over_cost * round_trip_cost``. A forecast whose probability and expected return point to
    different sides is no signal: it contradicts itself.
    """
    h = forecast.horizon_index(traded_horizon(forecast, settings))
    prob_up = forecast.prob_up[:, h]
    side = np.sign(prob_up - 0.5)
    sure = np.maximum(prob_up, 1.0 - prob_up) >= settings.confidence
    worth = side * forecast.expected_return[:, h] >= settings.edge_over_cost * round_trip_cost
    return np.where(sure & worth, side, 0).astype(np.int8)


@numba.njit(cache=True)
def _hold(close_ms: Times, side: Sides, wanted: Floats, horizon_ms: int, band: float) -> Floats:
    """Carry targets forward in time; a change within the band is let be.

    Closing and turning are never held back by the band: no position outlives its horizon because it is small.
    """
    held = np.zeros(len(wanted))
    last, until = 0.0, 0
    for t in range(len(wanted)):
        target = last
        if side[t] != 0:
            target, until = wanted[t], close_ms[t] + horizon_ms
        elif close_ms[t] >= until:
            target = 0.0
        if target == 0.0 or target * last < 0.0 or abs(target - last) > band:
            last = target
        held[t] = last
    return held
