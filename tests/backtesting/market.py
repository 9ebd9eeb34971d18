"""Small markets and accounts for the tests of the backtest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from polyscale.backtesting.settings import BacktestSettings
from polyscale.market.bars import BAR_SCHEMA, FUNDING_SCHEMA
from polyscale.market.position import Positions
from polyscale.market.timeframe import Timeframe

HOUR = Timeframe(60)
FIRST = datetime(2025, 1, 1, 1, tzinfo=UTC)  # close of the first bar: it opened at midnight

Row = tuple[float, float, float, float]


def make_bars(rows: Sequence[Row], timeframe: Timeframe = HOUR, first: datetime = FIRST) -> pl.DataFrame:
    """Bars from (open, high, low, close), one after the other."""
    times = [first + i * timedelta(minutes=timeframe.minutes) for i in range(len(rows))]
    columns = dict(zip(("open", "high", "low", "close"), zip(*rows, strict=True), strict=True))
    extra = {"close_time": times, "volume": [1.0] * len(rows), "turnover": [None] * len(rows)}
    return pl.DataFrame({**columns, **extra}, schema_overrides=BAR_SCHEMA).select(list(BAR_SCHEMA))


def flat_bars(opens_and_closes: Sequence[tuple[float, float]]) -> pl.DataFrame:
    """Hourly bars whose extremes are their open and close."""
    return make_bars([(o, max(o, c), min(o, c), c) for o, c in opens_and_closes])


def make_positions(bars: pl.DataFrame, targets: Sequence[float]) -> Positions:
    """Targets decided at the first closes of the bars."""
    times = bars["close_time"].dt.replace_time_zone(None).to_numpy()[: len(targets)]
    return Positions(times, np.array(targets, dtype=np.float64))


def make_funding(stamps: dict[datetime, float]) -> pl.DataFrame:
    """Funding rates by their time."""
    return pl.DataFrame({"time": list(stamps), "funding_rate": list(stamps.values())}, schema=FUNDING_SCHEMA)


def make_settings(**changes: float) -> BacktestSettings:
    """An account of 1000 that trades for nothing, changed as said."""
    free = {"fee_bps": 0.0, "slippage_bps": 0.0, "assumed_funding_8h": 0.0, "initial_capital": 1000.0}
    return BacktestSettings(**{**free, **changes})
