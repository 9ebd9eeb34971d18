"""A market that never was, for the demo and the tests: bars from a seed.

In: `SimulationSettings`. Out: checked bars. Three kinds:

- ``realistic``: log volatility is a sum of mean-reverting parts at several time scales, with a season of the
  day, jumps, and volume that follows volatility; returns have no drift, so direction cannot be forecast.
- ``planted``: the same, and whether the move of the last three hours agrees with that of the day before moves
both
  the volatility and the drift of what follows. Neither scale alone tells it: only their product does.
- ``random_walk``: constant volatility, normal returns. Nothing can be forecast, and nothing may be found.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import numba
import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from polyscale.market.bars import BAR_SCHEMA, check_bars
from polyscale.market.settings import Settings
from polyscale.market.timeframe import Timeframe

Floats = NDArray[np.float64]
STEPS = 6  # price moves inside one bar, from which high and low come
_HALF_LIVES_H = (1.0, 12.0, 168.0)  # of the parts of log volatility
_PART_SD = (0.30, 0.35, 0.30)
_PLANTED_SHARE = 0.5  # of the usual wander of log volatility, so that the planted signal stands out
_JUMPS_PER_DAY = 1.0
_JUMP_SD = 6.0  # in standard deviations of a bar


class SimulationSettings(Settings):
    """What market to make up."""

    kind: Literal["realistic", "planted", "random_walk"] = Field(
        "realistic",
        description="realistic: volatility wanders and jumps, direction cannot be forecast; planted: two "
        "scales together foretell both; random_walk: nothing can be forecast",
    )
    days: int = Field(60, ge=1, description="length, days")
    timeframe: Timeframe = Field(Timeframe(5), description="length of a bar")
    start: datetime = Field(datetime(2025, 1, 1, tzinfo=UTC), description="open of the first bar, UTC")
    daily_volatility: float = Field(0.03, gt=0, le=1, description="sd of a day's log return")
    volatility_effect: float = Field(
        1.4, ge=0, le=2, description="planted: log volatility per unit of agreement"
    )
    drift_effect: float = Field(
        0.05, ge=0, le=1, description="planted: drift in sd of a bar per unit of agreement"
    )
    seed: int = Field(1, ge=0, description="of the first symbol; the next one has the next seed")


def simulate_bars(settings: SimulationSettings) -> pl.DataFrame:
    """Make bars of the kind that is asked for; the same settings give the same bars.

    Returns
    -------
    polars.DataFrame
        Checked bars in `BAR_SCHEMA`, without gaps, prices from 100 up and down.
    """
    per_day = settings.timeframe.bars_in(Timeframe(1_440))
    num_bars = settings.days * per_day
    rng = np.random.default_rng(settings.seed)
    bar_sd = settings.daily_volatility / np.sqrt(per_day)
    planted, random = settings.kind == "planted", settings.kind == "random_walk"
    log_volatility = np.zeros(num_bars) if random else _log_volatility(rng, num_bars, per_day)
    if planted:
        log_volatility *= _PLANTED_SHARE
    jumps = np.zeros(num_bars)
    if not random:
        jumps = (rng.random(num_bars) < _JUMPS_PER_DAY / per_day) * rng.normal(0, _JUMP_SD, num_bars)
    shocks = rng.normal(0, 1 / np.sqrt(STEPS), (num_bars, STEPS))
    path, bar_volatility = _price_path(
        shocks,
        jumps,
        log_volatility,
        bar_sd,
        max(per_day // 8, 1),
        per_day,
        settings.volatility_effect if planted else 0.0,
        settings.drift_effect if planted else 0.0,
    )
    turnover_noise = np.exp(0.4 * rng.normal(size=num_bars))
    volume = 1_000 * (bar_volatility / bar_sd) ** 1.2 * turnover_noise
    return _to_bars(100 * np.exp(path), volume, settings)


def _log_volatility(rng: np.random.Generator, num_bars: int, per_day: int) -> Floats:
    """Sum of autoregressive parts, each begun in its stationary law, plus the season of the day."""
    total = np.zeros(num_bars)
    for half_life_h, sd in zip(_HALF_LIVES_H, _PART_SD, strict=True):
        keep = 0.5 ** (24 / per_day / half_life_h)
        noise = rng.normal(0, sd * np.sqrt(1 - keep**2), num_bars)
        noise[0] = rng.normal(0, sd)
        total += _autoregress(noise, keep)
    day = 2 * np.pi * (np.arange(num_bars) % per_day) / per_day
    season = 0.25 * np.sin(day - 2.1) + 0.10 * np.sin(2 * day)
    variance = float(np.square(_PART_SD).sum())
    return total + season - variance


@numba.njit(cache=True)
def _autoregress(noise: Floats, keep: float) -> Floats:
    values = noise.copy()
    for t in range(1, len(noise)):
        values[t] += keep * values[t - 1]
    return values


@numba.njit(cache=True)
def _price_path(
    shocks: Floats,
    jumps: Floats,
    log_volatility: Floats,
    bar_sd: float,
    short: int,
    day: int,
    volatility_effect: float,
    drift_effect: float,
) -> tuple[Floats, Floats]:
    """Log prices inside every bar [T, STEPS] and the volatility of every bar [T]."""
    num_bars, steps = shocks.shape
    path = np.zeros((num_bars, steps))
    volatility = np.zeros(num_bars)
    closes = np.zeros(num_bars + 1)
    for t in range(num_bars):
        agreement = 0.0
        if t >= day:
            recent = (closes[t] - closes[t - short]) / (bar_sd * np.sqrt(short))
            before = (closes[t - short] - closes[t - day]) / (bar_sd * np.sqrt(max(day - short, 1)))
            agreement = np.tanh(1.5 * recent) * np.tanh(1.5 * before)
        volatility[t] = bar_sd * np.exp(log_volatility[t] + volatility_effect * agreement)
        price = closes[t]
        for k in range(steps):
            price += volatility[t] * (shocks[t, k] + drift_effect * agreement / steps)
            if k == steps // 2:
                price += volatility[t] * jumps[t]
            path[t, k] = price
        closes[t + 1] = price
    return path, volatility


def _to_bars(prices: Floats, volume: Floats, settings: SimulationSettings) -> pl.DataFrame:
    opens = np.concatenate([[100.0], prices[:-1, -1]])
    inside = np.column_stack([opens, prices])
    first = settings.start + timedelta(milliseconds=settings.timeframe.ms)
    close_time = pl.Series("close_time", [first]).dt.epoch("ms")[0] + settings.timeframe.ms * np.arange(
        len(volume)
    )
    frame = pl.DataFrame(
        {
            "close_time": pl.Series(close_time).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC"),
            "open": opens,
            "high": inside.max(axis=1),
            "low": inside.min(axis=1),
            "close": prices[:, -1],
            "volume": volume,
            "turnover": volume * inside.mean(axis=1),
        },
        schema=BAR_SCHEMA,
    )
    return check_bars(frame, settings.timeframe)
