"""What formulas read: the arrays of one scale's bars, and what many of them share, each computed once.

In: bars of one scale on their grid, with context columns where there are any. Out: arrays [T], NaN where
missing, each made when it is first asked for and read-only from then on. Everything in row t is known at
``close_time`` of t.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from threading import RLock
from typing import Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.features.realised import VARIANCE_FLOOR
from polyscale.features.windows import change, run_length, trailing_mean
from polyscale.market.errors import ConfigError
from polyscale.market.timeframe import DAY_MS, Timeframe

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
USUAL_BARS = 50  # what a bar's volatility is measured against
_REMEDIES = {
    "turnover": "give bars with turnover",
    **dict.fromkeys(
        ("funding_rate", "funding_age", "funding_mean_3", "funding_mean_21"),
        "give funding rates (`polyscale fetch SYMBOL --funding`)",
    ),
    "market_level": "give bars of at least one other symbol of the same market",
}
Found = TypeVar("Found")
Array = TypeVar("Array", bound=np.ndarray[Any, Any])


class Inputs:
    """Arrays of T bars; attributes are read-only arrays."""

    def __init__(self, bars: pl.DataFrame, timeframe: Timeframe) -> None:
        self.bars = bars
        self.timeframe = timeframe
        self._shared: dict[object, object] = {}
        self._locks: dict[object, RLock] = {}

    @property
    def bars_per_day(self) -> int:
        """Rows of a day, at least one."""
        return max(DAY_MS // self.timeframe.ms, 1)

    def column(self, name: str) -> Floats:
        """A column of the bars, or of their context.

        Raises
        ------
        ConfigError
            If the bars do not have it; it says what to give.
        """
        if name not in self.bars.columns:
            raise ConfigError(
                f"a feature needs the column {name}, got bars with {self.bars.columns}; "
                f"{_REMEDIES.get(name, 'give bars that have it, or leave the feature out')}"
            )
        return self.shared(name, lambda: _array(self.bars[name]))

    def shared(self, key: object, compute: Callable[[], Found]) -> Found:
        """What several formulas need, computed when the first of them asks."""
        with self._locks.setdefault(key, RLock()):  # another thread that asks for it waits
            if key not in self._shared:
                found = compute()
                self._shared[key] = _frozen(found) if isinstance(found, np.ndarray) else found
        return self._shared[key]  # type: ignore[return-value]

    @cached_property
    def time_ms(self) -> Ints:
        """Close times, epoch ms."""
        return self.bars["close_time"].dt.epoch("ms").to_numpy()

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """Whether there is a bar."""
        close = self.bars["close"]
        there = close.is_not_null().to_numpy() if close.null_count() else np.ones(len(close), np.bool_)
        return _frozen(there)

    @cached_property
    def has_gaps(self) -> bool:
        """Whether any bar is missing."""
        return not self.present.all()

    @cached_property
    def run_length(self) -> Ints:
        """How many bars in a row, the newest included, are there."""
        return _frozen(run_length(self.present))

    @property
    def open(self) -> Floats:
        """First price."""
        return self.column("open")

    @property
    def high(self) -> Floats:
        """Highest price."""
        return self.column("high")

    @property
    def low(self) -> Floats:
        """Lowest price."""
        return self.column("low")

    @property
    def close(self) -> Floats:
        """Last price."""
        return self.column("close")

    @property
    def volume(self) -> Floats:
        """Volume in base coins."""
        return self.column("volume")

    @cached_property
    def log_close(self) -> Floats:
        """Log of the close."""
        return _frozen(np.log(self.close))

    @cached_property
    def log_return(self) -> Floats:
        """Log return of the bar."""
        return _frozen(change(self.log_close, 1))

    @cached_property
    def squared_return(self) -> Floats:
        """Squared log return of the bar."""
        return _frozen(self.log_return * self.log_return)

    @cached_property
    def absolute_return(self) -> Floats:
        """Absolute log return of the bar."""
        return _frozen(np.abs(self.log_return))

    @cached_property
    def log_range(self) -> Floats:
        """log(high / low)."""
        return _frozen(np.log(self.high / self.low))

    @cached_property
    def usual_log_volatility(self) -> Floats:
        """Half the log of the mean squared return of 50 bars: the symbol's own recent volatility per bar."""
        return _frozen(log_volatility(self.squared_return, USUAL_BARS))

    @cached_property
    def usual_volatility(self) -> Floats:
        """Realised volatility per bar over 50 bars."""
        return _frozen(np.exp(self.usual_log_volatility))


def log_volatility(squares: Floats, bars: int) -> Floats:
    """Half the log of the mean of squares over ``bars`` rows, floored so that a constant price has one."""
    mean = trailing_mean(squares, bars)
    mean += VARIANCE_FLOOR
    np.log(mean, out=mean)
    mean *= 0.5
    return mean


def _array(column: pl.Series) -> Floats:
    numbers = column.cast(pl.Float64)
    return _frozen((numbers.fill_null(np.nan) if numbers.null_count() else numbers).to_numpy())


def _frozen(values: Array) -> Array:
    """Shared by formulas: nobody writes into it."""
    values.flags.writeable = False
    return values
