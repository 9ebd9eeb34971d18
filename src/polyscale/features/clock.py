"""Time of day and of the week: clock only, known in advance."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from polyscale.features.feature import Feature, Formula
from polyscale.features.inputs import Inputs
from polyscale.market.timeframe import DAY_MS

Floats = NDArray[np.float64]
DAY_HARMONICS: Final = 3
WEEK_HARMONICS: Final = 2
_WEEK_MS: Final = 7 * DAY_MS
_SATURDAY: Final = 2  # days after the epoch, a Thursday


def season(time_ms: NDArray[np.int64]) -> Floats:
    """Sines and cosines of the time of day and of the week [T, 10]."""
    angles = [_angle(time_ms, DAY_MS, k) for k in range(1, DAY_HARMONICS + 1)]
    angles += [_angle(time_ms, _WEEK_MS, k) for k in range(1, WEEK_HARMONICS + 1)]
    return np.column_stack([wave(angle) for angle in angles for wave in (np.sin, np.cos)])


def _angle(time_ms: NDArray[np.int64], period_ms: int, harmonic: int) -> Floats:
    return harmonic * (2 * np.pi * (time_ms % period_ms) / period_ms)


def _wave(wave: np.ufunc, period_ms: int, harmonic: int) -> Formula:
    return lambda x: np.asarray(wave(_angle(x.time_ms, period_ms, harmonic)))


def _weekend(x: Inputs) -> Floats:
    """Whether the bar opened on a Saturday or a Sunday in UTC."""
    day = (x.time_ms - x.timeframe.ms) // DAY_MS
    return ((day - _SATURDAY) % 7 < 2).astype(np.float64)


CLOCK: Final = (
    *(
        Feature(
            f"{period}_{name}_{harmonic}",
            _wave(wave, period_ms, harmonic),
            1,
            f"{name} of {harmonic} × 2π × the share of the {period} that is over{since}",
        )
        for period, period_ms, harmonics, since in (
            ("day", DAY_MS, DAY_HARMONICS, " (UTC)"),
            ("week", _WEEK_MS, WEEK_HARMONICS, " since Thursday 00:00 UTC"),
        )
        for harmonic in range(1, harmonics + 1)
        for name, wave in (("sin", np.sin), ("cos", np.cos))
    ),
    Feature("weekend", _weekend, 1, "1 if the bar opened on a Saturday or a Sunday (UTC), else 0"),
)
SEASON_COLUMNS: Final = tuple(feature.meaning for feature in CLOCK if feature.name != "weekend")
"""What the columns of `season` are."""
