"""Closed candles as columns, and coarser ones out of finer ones.

In: bars of the contract. Out: arrays that are cut and searched at once. Unlike `scales.resample`, a period
with any bar in it gives a candle, the unfinished last one too: so does the exchange.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.market.timeframe import Timeframe

Floats = NDArray[np.float64]


class Candle(NamedTuple):
    """One candle, forming or closed; volume in base coin, turnover in quote coin."""

    start_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    turnover: float


class Candles(NamedTuple):
    """Candles, ascending; one array per column."""

    start_ms: NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    turnover: Floats

    @property
    def height(self) -> int:
        """How many there are."""
        return len(self.start_ms)

    def row(self, idx: int) -> Candle:
        """One of them."""
        start_ms, *numbers = (column[idx].item() for column in self)
        return Candle(start_ms, *numbers)

    def copied(self) -> Candles:
        """The same in arrays of their own, which may be written."""
        return Candles(self.start_ms, *(column.copy() for column in self[1:]))

    def overwrite(self, candle: Candle) -> None:
        """Give the candle that begins at the same time other numbers."""
        idx = self.index_of(candle.start_ms)
        assert idx is not None, "only a candle that there is can be revised"
        for column, value in zip(self[1:], candle[1:], strict=True):
            column[idx] = value

    def between(self, first: int, stop: int) -> Candles:
        """A run of them."""
        return Candles(self.start_ms[first:stop], *(column[first:stop] for column in self[1:]))

    def num_until(self, start_ms: int) -> int:
        """How many begin at ``start_ms`` or before."""
        return int(self.start_ms.searchsorted(start_ms, side="right"))

    def index_of(self, start_ms: int) -> int | None:
        """Where the candle that begins at ``start_ms`` stands, if there is one."""
        idx = self.num_until(start_ms) - 1
        return idx if idx >= 0 and self.start_ms[idx] == start_ms else None


def candles_of(bars: pl.DataFrame, timeframe: Timeframe) -> Candles:
    """Columns of checked bars, not copied; a turnover that is not known is taken as volume * close."""
    columns = bars.with_columns(pl.col("turnover").fill_null(pl.col("volume") * pl.col("close")))
    starts = columns["close_time"].dt.epoch("ms").to_numpy() - timeframe.ms
    names = ("open", "high", "low", "close", "volume", "turnover")
    return Candles(starts.astype(np.int64), *(columns[name].to_numpy() for name in names))


def coarser(candles: Candles, timeframe: Timeframe) -> Candles:
    """Put candles together; the last one holds what there is of its period."""
    if not candles.height:
        return candles
    starts = period_start(candles.start_ms, timeframe)
    first = np.flatnonzero(np.diff(starts, prepend=starts[0] - 1))
    last = np.append(first[1:], len(starts)) - 1
    return Candles(
        starts[first],
        candles.open[first],
        np.maximum.reduceat(candles.high, first),
        np.minimum.reduceat(candles.low, first),
        candles.close[last],
        np.add.reduceat(candles.volume, first),
        np.add.reduceat(candles.turnover, first),
    )


def joined(candles: Candles) -> Candle:
    """One candle out of a run of at least one, which begins where the first begins."""
    return Candle(
        int(candles.start_ms[0]),
        float(candles.open[0]),
        float(candles.high.max()),
        float(candles.low.min()),
        float(candles.close[-1]),
        float(candles.volume.sum()),
        float(candles.turnover.sum()),
    )


def merged(first: Candles, second: Candles) -> Candles:
    """All candles of the first, and those of the second that begin where the first has none."""
    extra = ~np.isin(second.start_ms, first.start_ms, assume_unique=True)
    if not extra.any():
        return first
    starts = np.concatenate([first.start_ms, second.start_ms[extra]])
    order = np.argsort(starts)
    numbers = zip(first[1:], second[1:], strict=True)
    return Candles(starts[order], *(np.concatenate([a, b[extra]])[order] for a, b in numbers))


def period_start(at_ms: NDArray[np.int64], timeframe: Timeframe) -> NDArray[np.int64]:
    """Begin of the period that holds each instant."""
    return (at_ms - timeframe.offset_ms) // timeframe.ms * timeframe.ms + timeframe.offset_ms


def start_of(at_ms: int, timeframe: Timeframe) -> int:
    """Begin of the period that holds an instant."""
    return (at_ms - timeframe.offset_ms) // timeframe.ms * timeframe.ms + timeframe.offset_ms
