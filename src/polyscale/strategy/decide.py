"""From a forecast to target positions: signals, sizes, and for how long they are held.

In: a `Forecast`, the rules, the cost of a round trip, the bars. Out: `Positions`, one row per close, decided
from this row and those before it. `polyscale.backtesting` fills them at the next bar's open.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numba
import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.market.errors import ConfigError, DataError
from polyscale.market.forecast import Forecast
from polyscale.market.position import Positions
from polyscale.strategy.settings import StrategySettings
from polyscale.strategy.signal import Sides, signals, traded_horizon
from polyscale.strategy.sizing import sizes

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
_NONE: Final = np.empty(0)
_FAR: Final = 100.0  # log distance of a level that is never reached: its price stays finite and above 0


class _Rows(NamedTuple):
    """What the walk over closes reads, one value per close; empty arrays where there are no levels."""

    close_ms: Times
    side: Sides
    wanted: Floats  # target of a signal
    prob_up: Floats  # NaN where there is no forecast
    stop: Floats  # levels of an entry here
    take_profit: Floats
    high: Floats
    low: Floats


def decide(
    forecast: Forecast,
    settings: StrategySettings,
    round_trip_cost: float,
    bars: pl.DataFrame | None = None,
) -> Positions:
    """Target position at each close, known there.

    A signal opens or resizes a position and holds it for one horizon from there; the other side's signal
    turns it; without a new signal it is closed when the horizon has passed, or before, where the held side's
    probability falls below ``exit_below``. With shorts forbidden, a signal to sell closes a long position at
    once. Stop and take-profit are those of the entry: resizing does not move them. Where a bar reaches one,
    the position is over, and its side is entered again at a later close, once its horizon has passed.

    Parameters
    ----------
    forecast
        Rows in rising time. They need not be evenly spaced: the hold is counted in time.
    settings
        `horizon` none means the longest forecast, whose expected move is the largest against one and the
        same cost.
    round_trip_cost
        Fraction of the value traded that entry and exit cost together, fees and slippage.
    bars
        All bars, oldest first, the forecast's origins among their closes; absent for the forecast's closes
        alone. A position whose time is over is closed at the first of them, also where a gap leaves no
        forecast. Needed where positions carry prices.

    Raises
    ------
    ConfigError
        If the cost is negative or not finite, or there are levels and no bars.
    DataError
        If a horizon was not forecast, times do not rise, or the forecast has an origin without a bar.
    """
    if not (math.isfinite(round_trip_cost) and round_trip_cost >= 0):
        raise ConfigError(f"round_trip_cost must be a fraction >= 0, got {round_trip_cost}")
    if settings.has_levels and bars is None:
        raise ConfigError("stop_loss, take_profit and entry: limit are prices: give the bars to decide")
    origin_ms = forecast.close_time.astype("datetime64[ms]").astype(np.int64)
    if (np.diff(origin_ms) <= 0).any():
        row = int(np.argmax(np.diff(origin_ms) <= 0)) + 1
        raise DataError(
            f"forecast.close_time must rise, broken in row {row}: {forecast.close_time[row]}; sort it"
        )
    close_ms = origin_ms if bars is None else bars["close_time"].dt.epoch("ms").to_numpy()
    at = np.arange(len(origin_ms)) if bars is None else _rows_of(origin_ms, close_ms)
    horizon = traded_horizon(forecast, settings)
    side = signals(forecast, settings, round_trip_cost)
    wanted = side * sizes(forecast, horizon, settings)
    if not settings.allow_short:
        wanted = np.maximum(wanted, 0.0)
    columns = (
        close_ms,
        _spread(side, at, len(close_ms), 0),
        _spread(wanted, at, len(close_ms), 0.0),
        _spread(forecast.prob_up[:, forecast.horizon_index(horizon)], at, len(close_ms), np.nan),
        *_levels(forecast, settings, bars, at, side),
    )
    rows = _Rows(*(_frozen(column) for column in columns))
    held, entry, order = _hold(rows, horizon.ms, settings.rebalance, settings.exit_below)
    return Positions(
        close_ms.view("datetime64[ms]"),
        held,
        _carried(bars["close"].to_numpy(), order) if bars is not None and settings.entry == "limit" else None,
        _carried(rows.stop, entry) if settings.stop_loss is not None else None,
        _carried(rows.take_profit, entry) if settings.take_profit is not None else None,
    )


def _rows_of(origin_ms: Times, close_ms: Times) -> Times:
    """The row of each origin among the closes of all bars."""
    rows = np.searchsorted(close_ms, origin_ms)
    missing = rows == len(close_ms)
    missing[~missing] = close_ms[rows[~missing]] != origin_ms[~missing]
    if missing.any():
        first = origin_ms[missing][:1].astype("datetime64[ms]")[0]
        raise DataError(
            f"bars must hold every forecast's close_time, {missing.sum()} of {len(origin_ms)} are not "
            f"there, first {first}; give the bars that the forecast was made from"
        )
    return rows.astype(np.int64)


def _spread(values: NDArray[Any], at: Times, num_rows: int, absent: float) -> NDArray[Any]:
    """Lay values of origins on the closes of all bars."""
    if len(values) == num_rows:
        return np.ascontiguousarray(values)
    spread = np.full(num_rows, absent, dtype=values.dtype)
    spread[at] = values
    return spread


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A view that cannot be written: one type for what is compiled, wherever the array came from."""
    view = array.view()
    view.setflags(write=False)
    return view


def _levels(
    forecast: Forecast, settings: StrategySettings, bars: pl.DataFrame | None, at: Times, side: Sides
) -> tuple[Floats, Floats, Floats, Floats]:
    """Stop and take-profit of an entry at each close, and the bars' extremes; empty without any."""
    if bars is None or (settings.stop_loss is None and settings.take_profit is None):
        return _NONE, _NONE, _NONE, _NONE
    close, high, low = (bars[name].to_numpy() for name in ("close", "high", "low"))
    volatility = forecast.volatility[:, forecast.horizon_index(traded_horizon(forecast, settings))]
    away = (-(settings.stop_loss or np.nan), settings.take_profit or np.nan)
    stop, take_profit = (
        close[at] * np.exp(np.clip(side * distance * volatility, -_FAR, _FAR)) for distance in away
    )
    return _spread(stop, at, len(close), np.nan), _spread(take_profit, at, len(close), np.nan), high, low


def _carried(level: Floats, source: Times) -> Floats:
    """The level of the row that each row goes back to; NaN where it goes back to none."""
    return np.where(source < 0, np.nan, level[np.maximum(source, 0)])


@numba.njit(cache=True, nogil=True)
def _hold(rows: _Rows, horizon_ms: int, band: float, exit_below: float) -> tuple[Floats, Times, Times]:
    """Carry targets forward in time; a change within the band is let be.

    Closing and turning are never held back by the band: no position outlives its horizon because it is small.
    Returns the target at each close, and the rows of the entry and of the last order that it goes back to; -1
    while flat.
    """
    num_rows, has_levels = len(rows.close_ms), len(rows.high) > 0
    held, entries, orders = np.zeros(num_rows), np.full(num_rows, -1), np.full(num_rows, -1)
    last, until, entry, order = 0.0, 0, -1, -1
    barred, barred_until = 0, 0  # the side that a level has closed
    for t in range(num_rows):
        now, side, target = rows.close_ms[t], rows.side[t], last
        is_over = False  # a level was reached in this bar
        if has_levels and last != 0.0:
            stop, take = rows.stop[entry], rows.take_profit[entry]
            if (
                (rows.low[t] <= stop or rows.high[t] > take)
                if last > 0.0
                else (rows.high[t] >= stop or rows.low[t] < take)
            ):
                barred, barred_until, target = (1 if last > 0.0 else -1), until, 0.0
                is_over = True
        if side != 0 and not (side == barred and (is_over or now < barred_until)):
            target, until = rows.wanted[t], now + horizon_ms
        elif now >= until or (rows.prob_up[t] if last > 0.0 else 1.0 - rows.prob_up[t]) < exit_below:
            target = 0.0
        if target == 0.0 or target * last < 0.0 or abs(target - last) > band:
            if target * last <= 0.0:
                entry = t
            order = t
            last = target
        held[t] = last
        if last != 0.0:
            entries[t], orders[t] = entry, order
    return held, entries, orders
