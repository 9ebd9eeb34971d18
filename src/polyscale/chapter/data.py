"""Candles as frames: from Bybit, or of a market that never was."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

import polars as pl

from polyscale.chapter.frames import to_frame
from polyscale.exchange.bybit_client import BybitClient, bybit_url
from polyscale.market.bars import Market
from polyscale.market.errors import ConfigError
from polyscale.market.settings import as_config_error, is_whole
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe

if TYPE_CHECKING:
    import pandas as pd


def fetch_bybit_klines(
    symbol: str = "BTCUSDT",
    interval: str = "1",
    limit: int = 1_000,
    *,
    category: str = "linear",
    url: str | None = None,
) -> pd.DataFrame:
    """The newest closed candles of a market, as many as are asked for; `polyscale.fetch` keeps them as well.

    The chapter asks once: no more than 1,000, the last of them still open, without timeout or retry.

    Parameters
    ----------
    interval
        Bybit's own word (``1`` to ``720`` minutes, ``D``, ``W``), or ``1min``, ``5m``, ``1H``.
    limit
        Candles; more than 1,000 come page by page.
    category
        ``linear``, ``inverse`` or ``spot``.
    url
        Another address; absent: that in the environment's POLYSCALE_BYBIT_URL, else Bybit.

    Returns
    -------
    pandas.DataFrame
        open, high, low, close, volume (base coin), turnover (quote coin), by ``close_time`` in UTC. Candles
        that the exchange does not have are not there.

    Raises
    ------
    ConfigError
        For a symbol, an interval, a limit or a category that cannot be.
    ExchangeError
        For what came instead of candles.
    """
    timeframe = _timeframe(interval)
    if not is_whole(limit):
        raise ConfigError(f"limit must be at least 1 candle, a whole number, got {limit!r}")
    if not isinstance(symbol, str):
        raise ConfigError(f"symbol must be a text such as BTCUSDT, got {symbol!r}")
    market = Market("bybit", category, symbol.upper())
    address = url or bybit_url()

    async def bring() -> pl.DataFrame:
        async with BybitClient(address, venue=market.venue) as client:
            end_ms = timeframe.floor_ms(await client.server_time_ms())
            return await client.klines(market, timeframe, max(0, end_ms - int(limit) * timeframe.ms), end_ms)

    with ThreadPoolExecutor(1) as pool:  # in a notebook a loop is running already
        return to_frame(pool.submit(asyncio.run, bring()).result())


def simulate_klines(
    days: int = 30,
    interval: str = "1",
    *,
    kind: Literal["realistic", "planted", "random_walk"] = "realistic",
    seed: int = 1,
) -> pd.DataFrame:
    """Candles of a market that never was, in the shape of `fetch_bybit_klines`; see `SimulationSettings`.

    Parameters
    ----------
    kind
        ``realistic``: volatility can be forecast, direction cannot; ``planted``: both can a little;
        ``random_walk``: nothing can.

    Raises
    ------
    ConfigError
        For an interval that is not a whole part of a day, or another kind, days or seed than there can be.
    """
    with as_config_error():
        settings = SimulationSettings(kind=kind, days=days, timeframe=_timeframe(interval), seed=seed)
    return to_frame(simulate_bars(settings))


def _timeframe(interval: str) -> Timeframe:
    """Bybit writes minutes as a bare number."""
    return Timeframe.parse(f"{interval}m" if str(interval).isdigit() else interval)
