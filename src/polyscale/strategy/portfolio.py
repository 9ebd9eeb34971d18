"""One account over many symbols and several horizons: from forecasts to target weights under limits.

In: a forecast and bars per symbol, the sleeves, the limits. Out: `Portfolio`. A sleeve is a strategy with a
share of the account; each may trade another horizon and look at its signals on another grid. At every close
the sleeves' targets are summed, shared out among symbols, scaled to the target volatility and cut to the
limits; what is known is the past of the bars and the forecasts that have been made.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator

from polyscale.market.errors import ConfigError
from polyscale.market.forecast import Forecast
from polyscale.market.position import Positions
from polyscale.market.settings import Settings
from polyscale.market.timeframe import DAY_MS, Timeframe
from polyscale.strategy.allocation import MIN_RETURNS, Allocation, allocate, grounded, variance
from polyscale.strategy.combine import at_closes
from polyscale.strategy.decide import decide
from polyscale.strategy.hold import hold_within
from polyscale.strategy.settings import StrategySettings
from polyscale.strategy.signal import on_grid, traded_horizon
from polyscale.strategy.sizing import YEAR_MS
from polyscale.strategy.span import bars_of_test

Floats = NDArray[np.float64]
Times = NDArray[np.datetime64]
logger = logging.getLogger(__name__)


class Sleeve(Settings):
    """A strategy with a share of the account."""

    strategy: StrategySettings = Field(description="its rules, without levels")
    share: float = Field(gt=0, description="of the account; the sleeves' shares sum to at most 1")


class PortfolioSettings(Settings):
    """How symbols and horizons share one account."""

    sleeves: tuple[Sleeve, ...] = Field(min_length=1, description="strategies that share the account")
    allocation: Allocation = Field(
        "inverse_volatility",
        description="how symbols share it; all but equal and inverse_volatility are of skfolio, an extra",
    )
    every: Timeframe = Field(Timeframe(1440), description="shares of symbols are set anew on this grid")
    lookback_days: int = Field(30, ge=2, description="of past returns behind correlations")
    gross: float = Field(1.0, gt=0, description="cap on the sum of absolute weights")
    net: float = Field(1.0, gt=0, description="cap on the absolute sum of weights")
    per_asset: float = Field(1.0, gt=0, description="cap on one symbol's absolute weight")
    target_volatility: float | None = Field(
        None,
        gt=0,
        description="sd of the account's return a year, by forecast; absent: as the sleeves have it",
    )
    rebalance: float = Field(
        0.05,
        ge=0,
        description="a smaller change of a weight is let be, share of a symbol's part",
    )

    @model_validator(mode="after")
    def _sleeves_fit(self) -> PortfolioSettings:
        """Sleeves share one account and one position.

        - `share` of all sleeves sums to at most 1
        - a sleeve has no `stop_loss`, no `take_profit` and no `entry: limit`
        """
        total = sum(sleeve.share for sleeve in self.sleeves)
        if total > 1.0 + 1e-9:
            raise ValueError(f"sleeves' shares must sum to at most 1, got {total:g}; make them smaller")
        if any(sleeve.strategy.has_levels for sleeve in self.sleeves):
            raise ValueError(
                "a sleeve cannot have a stop_loss, take_profit or entry: limit: sleeves share one position"
            )
        return self


@dataclass(frozen=True, eq=False)
class Portfolio:
    """Positions of all symbols, and what each sleeve wanted."""

    positions: dict[str, Positions]
    close_time: Times  # [T] at which weights are decided
    sleeves: tuple[str, ...]  # names that differ, by horizon
    wanted: Floats  # [T, K, N] share times target of sleeve and symbol, before allocation and limits


def build_portfolio(
    forecasts: Mapping[str, Forecast],
    bars: Mapping[str, pl.DataFrame],
    settings: PortfolioSettings,
    round_trip_cost: float,
) -> Portfolio:
    """Weights of every symbol at every close from the first forecast to the last.

    Parameters
    ----------
    forecasts
        By symbol, all of the same horizons.
    bars
        By the same symbols, with as much past as there is: it stands behind the correlations. Positions are
        decided at the closes from a symbol's first forecast to its last.
    settings
        Sleeves, allocation, limits.
    round_trip_cost
        As in `decide`.

    Raises
    ------
    ConfigError
        If symbols differ, or the allocation needs a library that is not installed.
    DataError
        If a horizon was not forecast.
    """
    if not forecasts or set(forecasts) != set(bars):
        raise ConfigError(f"a portfolio needs bars of its symbols {list(forecasts)}, got {list(bars)}")
    spanned = {symbol: bars_of_test(bars[symbol], forecasts[symbol]) for symbol in forecasts}
    closes = {symbol: _closes(frame) for symbol, frame in spanned.items()}
    times = np.unique(np.concatenate(list(closes.values())))
    wanted = np.zeros((len(times), len(settings.sleeves), len(forecasts)))
    for n, (symbol, forecast) in enumerate(forecasts.items()):
        for k, sleeve in enumerate(settings.sleeves):
            part = decide(forecast, sleeve.strategy, round_trip_cost, spanned[symbol])
            wanted[:, k, n] = sleeve.share * at_closes(part, times)
    daily = np.column_stack([_daily_volatility(forecast, times) for forecast in forecasts.values()])
    returns = _returns(bars, settings.every)
    weights = _weights(wanted.sum(axis=1), daily, times, returns, settings)
    positions, band = {}, settings.rebalance * settings.gross / len(forecasts)
    for n, symbol in enumerate(forecasts):
        held = hold_within(np.ascontiguousarray(weights[:, n]), band)
        own = np.isin(times, closes[symbol])
        positions[symbol] = Positions(times[own], held[own])
    horizons = [traded_horizon(next(iter(forecasts.values())), each.strategy) for each in settings.sleeves]
    return Portfolio(positions, times, told_apart([str(horizon) for horizon in horizons]), wanted)


def told_apart(names: Sequence[str]) -> tuple[str, ...]:
    """Names that differ: the second sleeve of a horizon says that it is."""
    return tuple(
        name if name not in names[:k] else f"{name} ({names[:k].count(name) + 1})"
        for k, name in enumerate(names)
    )


def limited(weights: Floats, gross: float, net: float, per_asset: float) -> Floats:
    """Weights [T, N] cut to limits: each alone, then the heavier side to the net, then all to the gross."""
    cut = np.clip(weights, -per_asset, per_asset)
    long, short = np.maximum(cut, 0.0), np.maximum(-cut, 0.0)
    longs, shorts = long.sum(axis=1, keepdims=True), short.sum(axis=1, keepdims=True)
    long *= _at_most(net + shorts, longs)
    short *= _at_most(net + longs, shorts)
    cut = long - short
    return cut * _at_most(np.full_like(longs, gross), np.abs(cut).sum(axis=1, keepdims=True))


def _at_most(limit: Floats, size: Floats) -> Floats:
    """Factor that brings a size down to its limit, which is above 0."""
    return limit / np.maximum(size, limit)


def _weights(
    wanted: Floats, daily: Floats, times: Times, returns: tuple[Times, Floats], settings: PortfolioSettings
) -> Floats:
    """[T, N]: the sleeves' targets, shared out, scaled and limited; shares stay between the grid's closes."""
    shared = np.zeros_like(wanted)
    starts = np.flatnonzero(on_grid(times, settings.every) | (np.arange(len(times)) == 0))
    window = settings.lookback_days * DAY_MS * np.timedelta64(1, "ms")
    known_at, past = returns
    has_ground = False
    for start, stop in zip(starts, [*starts[1:], len(times)], strict=True):
        first, last = np.searchsorted(known_at, [times[start] - window, times[start]], side="right")
        seen = past[first:last]
        has_ground |= bool(grounded(seen).any())
        known = np.isfinite(daily[start])  # a symbol has no part of the account before its first forecast
        shares = np.zeros(len(known))
        shares[known] = allocate(settings.allocation, daily[start, known], seen[:, known])
        rows = wanted[start:stop] * shares
        if settings.target_volatility is not None:
            exposed = rows * np.nan_to_num(daily[start:stop])
            a_year = np.sqrt(variance(exposed, seen) * YEAR_MS / DAY_MS)
            rows = (
                rows
                * np.divide(settings.target_volatility, a_year, out=np.zeros_like(a_year), where=a_year > 0)[
                    :, None
                ]
            )
        shared[start:stop] = rows
    if not has_ground and wanted.shape[1] > 1:
        logger.warning(
            "no symbol ever had %d past returns within lookback_days = %d: correlations are not known, and "
            "every optimiser is inverse volatility; give more past, or more days",
            MIN_RETURNS,
            settings.lookback_days,
        )
    return limited(shared, settings.gross, settings.net, settings.per_asset)


def _closes(frame: pl.DataFrame) -> Times:
    return frame["close_time"].dt.epoch("ms").to_numpy().view("datetime64[ms]")


def _daily_volatility(forecast: Forecast, times: Times) -> Floats:
    """[T] of the longest horizon, scaled to a day: the newest forecast; NaN before the first one."""
    h = forecast.horizon_index(max(forecast.horizons))
    newest = np.searchsorted(forecast.close_time, times, side="right") - 1
    scale = np.sqrt(DAY_MS / max(forecast.horizons).ms)
    found = np.maximum(forecast.volatility[np.maximum(newest, 0), h], 1e-12) * scale
    return np.where(newest < 0, np.nan, found)


def _returns(bars: Mapping[str, pl.DataFrame], every: Timeframe) -> tuple[Times, Floats]:
    """Hourly log returns of all symbols, or finer if the grid is; 0 without a bar, NaN before the first."""
    step = Timeframe(min(60, every.minutes))
    closes = {symbol: _closes(frame) for symbol, frame in bars.items()}
    times = np.unique(np.concatenate(list(closes.values())))
    times = times[on_grid(times, step)]
    if len(times) < 2:
        return times[:0], np.zeros((0, len(bars)))
    columns = []
    for symbol, frame in bars.items():
        newest = np.searchsorted(closes[symbol], times, side="right") - 1
        price = np.where(newest < 0, np.nan, frame["close"].to_numpy()[np.maximum(newest, 0)])
        columns.append(np.diff(np.log(price)))
    return times[1:], np.column_stack(columns)
