"""One candle of Bybit's wire -> a checked one, the same for REST rows and for pushed updates.

In: a start and texts as they came. Out: a `Kline` in the contract's units. In inverse markets the wire's
volume is in quote coin and its turnover in base coin: they are swapped here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from polyscale.exchange.wire_fields import read_number, refused
from polyscale.market.errors import ConfigError
from polyscale.market.timeframe import Timeframe

CATEGORIES: Final = ("spot", "linear", "inverse")
_INTERVALS: Final = {
    **{minutes: str(minutes) for minutes in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    1_440: "D",
    10_080: "W",
}
_MINUTES: Final = {word: minutes for minutes, word in _INTERVALS.items()}


class Kline(NamedTuple):
    """A candle, closed or not, in the contract's units: volume in base coin, turnover in quote coin."""

    start_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float  # 0 for mark prices, which are not traded
    turnover: float | None  # none for mark prices


def interval_of(timeframe: Timeframe) -> str:
    """The exchange's word for a timeframe; `ConfigError` where it has none."""
    if timeframe.minutes not in _INTERVALS:
        known = ", ".join(str(Timeframe(minutes)) for minutes in _INTERVALS)
        raise ConfigError(
            f"timeframe must be one that Bybit keeps ({known}), got {timeframe}; fetch a finer one and "
            f"resample it"
        )
    return _INTERVALS[timeframe.minutes]


def timeframe_of(interval: str) -> Timeframe | None:
    """The timeframe of the exchange's word; none for a word that it does not use, and for months."""
    return Timeframe(_MINUTES[interval]) if interval in _MINUTES else None


def read_candle(
    asked: str, start_ms: int, texts: Sequence[Any], timeframe: Timeframe, category: str
) -> Kline:
    """Check one candle.

    Parameters
    ----------
    texts
        Open, high, low, close, and volume and turnover as the wire has them, or nothing more (mark prices).

    Raises
    ------
    WireError
        For a start off the timeframe's grid, a number that is no finite decimal, prices <= 0, low above or
        high below open or close, a negative volume or turnover.
    """
    if (start_ms - timeframe.offset_ms) % timeframe.ms:
        raise refused(asked, f"a start must lie on the grid of {timeframe}", start_ms)
    first, high, low, last, *sizes = [read_number(asked, text) for text in texts]
    if not 0 < low <= min(first, last) <= max(first, last) <= high:
        raise refused(asked, "prices must be > 0 with low <= open, close <= high", [start_ms, *texts])
    if not sizes:
        return Kline(start_ms, first, high, low, last, 0.0, None)
    if min(sizes) < 0:
        raise refused(asked, "volume and turnover must be >= 0", [start_ms, *texts])
    volume, turnover = reversed(sizes) if category == "inverse" else sizes
    return Kline(start_ms, first, high, low, last, volume, turnover)
