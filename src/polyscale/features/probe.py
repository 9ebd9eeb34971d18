"""Whether a formula still is what a model was trained with: its values on a fixed series.

A formula may be a compiled kernel, which has no text to compare. The series is a few sines: prices,
volumes, funding and another market, the same for ever.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.features.context import Context, add_context
from polyscale.features.feature import FeatureSet
from polyscale.market.bars import TIME
from polyscale.market.timeframe import DAY_MS, Timeframe

Floats = NDArray[np.float64]
_MONDAY_MS: Final = 1_704_067_200_000  # 2024-01-01, on the grid of every timeframe
_ROWS: Final = 3  # newest rows that are looked at
_SPARE: Final = 16
_RELATIVE, _ABSOLUTE = 1e-6, 1e-9  # rounding differs between machines


def probe(features: FeatureSet, timeframe: Timeframe) -> dict[str, tuple[float, ...]]:
    """Values of every feature in the last rows of the series."""
    num_rows = features.warm_up(timeframe) + _SPARE
    context = Context(_funding(num_rows * timeframe.ms), {"OTHER": _bars(num_rows, timeframe, 1.7)})
    bars = add_context(_bars(num_rows, timeframe, 1.0), context)
    rows = features.compute(bars, timeframe).tail(_ROWS)
    return {name: tuple(rows[name].fill_null(0.0).to_list()) for name in features.names}


def changed(then: dict[str, tuple[float, ...]], now: dict[str, tuple[float, ...]]) -> list[str]:
    """Names whose values are not what they were, or that were not there."""
    return [
        name
        for name, values in now.items()
        if len(then.get(name, ())) != len(values)
        or not np.allclose(then[name], values, rtol=_RELATIVE, atol=_ABSOLUTE)
    ]


def _bars(num_rows: int, timeframe: Timeframe, pace: float) -> pl.DataFrame:
    t = np.arange(num_rows + 1) * pace
    close = np.exp(4 + 0.02 * np.sin(t / 31.3) + 0.005 * np.sin(t / 7) + 0.002 * np.sin(t * t * 0.37))
    opens, closes = close[:-1] * (1 + 0.0003 * np.sin(t[1:] * 1.3)), close[1:]
    width = 1 + 0.002 * (1 + np.sin(t[1:] / 3.1) ** 2)
    volume = 10 + 9 * np.sin(t[1:] / 11.7) * np.sin(t[1:] * 0.9)
    return pl.DataFrame(
        {
            "close_time": _times(num_rows, timeframe.ms),
            "open": opens,
            "high": np.maximum(opens, closes) * width,
            "low": np.minimum(opens, closes) / width,
            "close": closes,
            "volume": volume,
            "turnover": volume * closes,
        }
    )


def _funding(span_ms: int) -> pl.DataFrame:
    """A settlement every eight hours, from a fortnight before the first bar."""
    every = DAY_MS // 3
    before = 42
    num_rows = span_ms // every + 1 + before
    times = _times(num_rows, every) - pl.duration(milliseconds=before * every)
    rates = 1e-4 * (1 + np.sin(np.arange(num_rows) * 0.8))
    return pl.DataFrame({"time": pl.select(times).to_series(), "funding_rate": rates})


def _times(num_rows: int, step_ms: int) -> pl.Series:
    ms = _MONDAY_MS + step_ms * np.arange(1, num_rows + 1)
    return pl.Series("close_time", ms).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC").cast(TIME)
