"""Whether a formula still is what a model was trained with: its values on a fixed series.

A formula may be a compiled kernel, which has no text to compare. The series is a few sines: prices,
volumes, funding and another market, the same for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.features.context import add_context, market_level
from polyscale.features.feature import FeatureSet
from polyscale.market.bars import TIME
from polyscale.market.timeframe import DAY_MS, Timeframe

Floats = NDArray[np.float64]
Values = tuple[float | None, ...]  # None where the feature has no value
_MONDAY_MS: Final = 1_704_067_200_000  # 2024-01-01, on the grid of every timeframe: the series ends here
_ROWS: Final = (1, 2, 3, 5, 8, 13, 21)  # bars from the end that are looked at
_SPARE: Final = 32
_JUMP, _FLAT = 6, 4  # bars from the end: one that jumps, one in which nothing is traded
_RELATIVE, _ABSOLUTE = 1e-6, 1e-9  # rounding differs between machines


def probe(features: FeatureSet, timeframe: Timeframe) -> dict[str, Values]:
    """Warm-up and values of every feature at some of the last bars of the series."""
    num_rows = features.warm_up(timeframe) + _SPARE
    level = market_level({"OTHER": _bars(num_rows, timeframe, 1.7)}, timeframe, 0)
    bars = add_context(_bars(num_rows, timeframe, 1.0), _funding(num_rows * timeframe.ms), level)
    rows = features.compute(bars, timeframe)
    return {
        feature.name: (
            float(feature.warm_bars(timeframe)),
            *(rows[feature.name][-back] for back in _ROWS),
        )
        for feature in features.features
    }


def changed(then: Mapping[str, Values], now: Mapping[str, Values]) -> list[str]:
    """Names whose values are not what they were, or that were not there."""
    return [name for name, values in now.items() if not _same(then.get(name, ()), values)]


def _same(then: Values, now: Values) -> bool:
    missing = [value is None for value in now]
    if len(then) != len(now) or [value is None for value in then] != missing:
        return False
    a, b = (np.array([value or 0.0 for value in values]) for values in (then, now))
    return bool(np.allclose(a, b, rtol=_RELATIVE, atol=_ABSOLUTE))


def _bars(num_rows: int, timeframe: Timeframe, pace: float) -> pl.DataFrame:
    """The last bars of a series without beginning: its end does not depend on how long it is."""
    t = np.arange(-num_rows, 1) * pace
    close = np.exp(4 + 0.02 * np.sin(t / 31.3) + 0.005 * np.sin(t / 7) + 0.002 * np.sin(t * t * 0.37))
    close[-_JUMP:] *= 1.03
    opens, closes = close[:-1] * (1 + 0.0003 * np.sin(t[1:] * 1.3)), close[1:]
    width = 1 + 0.002 * (1 + np.sin(t[1:] / 3.1) ** 2)
    highs, lows = np.maximum(opens, closes) * width, np.minimum(opens, closes) / width
    volume = 10 + 9 * np.sin(t[1:] / 11.7) * np.sin(t[1:] * 0.9)
    for prices in (opens, highs, lows):
        prices[-_FLAT] = closes[-_FLAT]
    volume[-_FLAT] = 0.0
    return pl.DataFrame(
        {
            "close_time": _times(num_rows, timeframe.ms),
            "open": opens,
            "high": highs,
            "low": lows,
            "close": closes,
            "volume": volume,
            "turnover": volume * closes,
        }
    )


def _funding(span_ms: int) -> pl.DataFrame:
    """A settlement every eight hours, from a fortnight before the first bar."""
    every = DAY_MS // 3
    num_rows = span_ms // every + 43
    rates = 1e-4 * (1 + np.sin(np.arange(-num_rows, 0) * 0.8))
    return pl.DataFrame({"time": _times(num_rows, every), "funding_rate": rates})


def _times(num_rows: int, step_ms: int) -> pl.Series:
    ms = _MONDAY_MS + step_ms * np.arange(1 - num_rows, 1)
    return pl.Series("close_time", ms).cast(TIME)
