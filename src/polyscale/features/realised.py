"""Realised variance on a grid, in NumPy: what targets and the base forecast are made of.

Each row is summed from its own window alone, never by adding and taking away: so an earlier row, however
wild, leaves no rounding trace, and a NaN spoils only the windows that hold it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
VARIANCE_FLOOR: Final = 1e-10  # per bar, a move of 0.1 basis points: the log of a variance must exist


def squared_returns(log_close: Floats) -> Floats:
    """Squared log return of every bar + 1e-10 [T]; NaN where a bar or the one before it is missing."""
    return np.diff(log_close, prepend=np.nan) ** 2 + VARIANCE_FLOOR


def trailing_mean(values: Floats, bars: int, min_share: float = 1.0) -> Floats:
    """Mean of the last ``bars`` values at every row [T], NaN unless enough of them are there.

    Parameters
    ----------
    min_share
        Of the values that must not be NaN; the mean is that of those that are there.
    """
    if min_share == 1.0:
        return _trailing_sum(values, bars) / bars
    known = ~np.isnan(values)
    count = _trailing_sum(known.astype(np.float64), bars)
    total = _trailing_sum(np.where(known, values, 0.0), bars)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count >= min_share * bars, total / count, np.nan)


def _trailing_sum(values: Floats, bars: int) -> Floats:
    """Sum of the last ``bars`` rows; sums over 2n rows are two sums over n rows: log2(bars) passes."""
    total, covered = np.zeros_like(values), 0
    block, size = values, 1
    while size <= bars:
        if bars & size:
            total = total + lag(block, covered)
            covered += size
        block = block + lag(block, size)
        size *= 2
    return total


def lag(values: Floats, bars: int) -> Floats:
    """The value ``bars`` rows earlier, NaN at the beginning."""
    moved = np.full_like(values, np.nan)
    moved[bars:] = values[: max(len(values) - bars, 0)]
    return moved


def lead(values: Floats, bars: int) -> Floats:
    """The value ``bars`` rows later, NaN at the end: for labels only."""
    moved = np.full_like(values, np.nan)
    moved[: max(len(values) - bars, 0)] = values[bars:]
    return moved
