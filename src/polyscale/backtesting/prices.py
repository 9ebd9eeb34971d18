"""Bars of all symbols on one grid of closes, as the arrays that the event loop reads.

In: bars by symbol. Out: `Grid`. The grid holds every close at which any symbol has a bar. Where a symbol has
none, its last close is repeated, at which it is valued and cannot be traded; before its first bar its first
open stands in, at which nothing is held. One symbol's columns are read where they lie.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.backtesting.book import Prices
from polyscale.market.bars import check_bars
from polyscale.market.errors import DataError
from polyscale.market.timeframe import Timeframe

Times = NDArray[np.int64]
_COLUMNS: Final = ("open", "high", "low", "close", "volume")


class Grid(NamedTuple):
    """Prices of all symbols at every close."""

    symbols: tuple[str, ...]
    timeframe: Timeframe
    close_time: pl.Series  # [T]
    close_ms: Times  # [T]
    prices: Prices
    rows: tuple[Times | None, ...]  # of each symbol's own bars; none where it has all


def make_grid(bars: Mapping[str, pl.DataFrame], timeframe: Timeframe) -> Grid:
    """Check bars and lay them side by side.

    Raises
    ------
    DataError
        If there is no symbol, bars break their contract, or there are fewer than two closes.
    """
    if not bars:
        raise DataError("a backtest needs the bars of at least one symbol, got none")
    checked = {symbol: _checked(symbol, frame, timeframe) for symbol, frame in bars.items()}
    frames = list(checked.values())
    if len(frames) == 1:
        close_time = frames[0]["close_time"]
    else:
        close_time = pl.concat([frame["close_time"] for frame in frames]).unique().sort()
    if len(close_time) < 2:
        raise DataError(f"a backtest needs >= 2 bars, one to decide and one to fill, got {len(close_time)}")
    laid = [_lay(frame, close_time) for frame in frames]
    columns = [np.stack([arrays[i] for arrays, _ in laid]) for i in range(len(_COLUMNS) + 1)]
    if len(frames) == 1:  # a view of the frame's own memory
        columns = [each.reshape(1, -1) for each in laid[0][0]]
    for each in columns:
        each.setflags(write=False)
    close_ms = close_time.dt.epoch("ms").to_numpy()
    rows = tuple(rows for _, rows in laid)
    return Grid(tuple(checked), timeframe, close_time, close_ms, Prices(*columns), rows)


def named(symbol: str) -> str:
    """How an error begins: with the symbol, if it has a name."""
    return f"{symbol}: " if symbol else ""


def _checked(symbol: str, frame: pl.DataFrame, timeframe: Timeframe) -> pl.DataFrame:
    try:
        frame = check_bars(frame, timeframe)
    except DataError as error:
        raise DataError(f"{named(symbol)}{error}") from error
    if frame.is_empty():
        raise DataError(f"{named(symbol)}a backtest needs bars, got none")
    return frame


def _lay(frame: pl.DataFrame, close_time: pl.Series) -> tuple[list[NDArray[np.generic]], Times | None]:
    """Open, high, low, close, volume and whether there is a bar, [T] each; and the rows of the own bars."""
    if frame.height == len(close_time):
        own = [frame[name].rechunk().to_numpy() for name in _COLUMNS]
        return [*own, np.ones(frame.height, dtype=np.bool_)], None
    rows = close_time.search_sorted(frame["close_time"]).to_numpy().astype(np.int64)
    is_bar = np.zeros(len(close_time), dtype=np.bool_)
    is_bar[rows] = True
    newest = np.cumsum(is_bar) - 1  # of the own bars, -1 before the first
    close = np.where(newest < 0, frame["open"][0], frame["close"].to_numpy()[np.maximum(newest, 0)])
    laid: list[NDArray[np.generic]] = []
    for name in _COLUMNS:
        column = np.zeros(len(close_time)) if name == "volume" else close.copy()
        column[rows] = frame[name].to_numpy()
        laid.append(column)
    return [*laid, is_bar], rows
