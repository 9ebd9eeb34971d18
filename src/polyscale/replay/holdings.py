"""All that the exchange holds: a shelf of candles per market, and funding rates.

In: frames that we hold. Out: shelves by category and symbol, funding rates as they are seen at an instant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.exchange.bybit_candle import CATEGORIES
from polyscale.market.bars import Market, check_bars, check_funding
from polyscale.market.errors import ConfigError
from polyscale.market.timeframe import Timeframe
from polyscale.replay.instruments import instrument_row
from polyscale.replay.shelf import Shelf

FUNDED: Final = ("linear", "inverse")


class Rates(NamedTuple):
    """Funding rates, ascending."""

    time_ms: NDArray[np.int64]
    rate: NDArray[np.float64]


class Holdings:
    """Candles and funding of every market.

    Parameters
    ----------
    bars
        Frames in `BAR_SCHEMA` per market and timeframe; empty ones are passed over.
    funding
        Frames in `FUNDING_SCHEMA` per market.

    Raises
    ------
    DataError
        If a frame breaks its contract.
    ConfigError
        If there is no bar at all, a category that the exchange does not have, or one symbol of two venues.
    """

    def __init__(
        self,
        bars: Mapping[tuple[Market, Timeframe], pl.DataFrame],
        funding: Mapping[Market, pl.DataFrame],
        seed: int,
    ) -> None:
        frames: dict[Market, dict[Timeframe, pl.DataFrame]] = {}
        for (market, timeframe), frame in bars.items():
            if not frame.is_empty():
                frames.setdefault(market, {})[timeframe] = check_bars(frame, timeframe)
        _check_markets(frames)
        self.shelves = {market: Shelf(held, seed) for market, held in frames.items()}
        self._markets = {(market.category, market.symbol): market for market in frames}
        self._rates = {market: _rates_of(frame) for market, frame in funding.items()}

    def shelf(self, category: str, symbol: str) -> Shelf | None:
        """The candles of a market, none if it is unknown."""
        market = self._markets.get((category, symbol))
        return None if market is None else self.shelves[market]

    def rates(self, category: str, symbol: str, now_ms: int) -> Rates:
        """Funding rates that have been paid by ``now_ms``."""
        market = self._markets.get((category, symbol))
        times, rates = self._rates.get(market, _NO_RATES) if market else _NO_RATES
        num_paid = int(times.searchsorted(now_ms, side="right"))
        return Rates(times[:num_paid], rates[:num_paid])

    def instruments(self, category: str, now_ms: int) -> list[dict[str, Any]]:
        """Rows of every instrument whose first candle has begun, by symbol."""
        rows = []
        for market in sorted(self.shelves, key=lambda market: market.symbol):
            shelf = self.shelves[market]
            if market.category == category and shelf.first_ms <= now_ms:
                times = self.rates(category, market.symbol, now_ms).time_ms[-2:]
                funding_ms = int(times[1] - times[0]) if len(times) == 2 else None
                rows.append(instrument_row(market, shelf.steps, shelf.first_ms, funding_ms))
        return rows


_NO_RATES: Final = Rates(np.empty(0, np.int64), np.empty(0))


def _rates_of(frame: pl.DataFrame) -> Rates:
    rates = check_funding(frame)
    return Rates(rates["time"].dt.epoch("ms").to_numpy(), rates["funding_rate"].to_numpy())


def _check_markets(markets: Mapping[Market, object]) -> None:
    if not markets:
        raise ConfigError("the replay must hold bars of at least one market, got none; give it some")
    seen: dict[tuple[str, str], Market] = {}
    for market in markets:
        if market.category not in CATEGORIES:
            raise ConfigError(f"category must be one of {list(CATEGORIES)} to be played, got {market}")
        other = seen.setdefault((market.category, market.symbol), market)
        if other != market:
            raise ConfigError(f"one exchange plays one venue, got {other} and {market}; play them apart")
