"""Realised variance on a grid: what targets and the base forecast are made of."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
VARIANCE_FLOOR: Final = 1e-10  # per bar, a move of 0.1 basis points: the log of a variance must exist


def squared_returns(log_close: Floats) -> Floats:
    """Squared log return of every bar + 1e-10 [T]; NaN where a bar or the one before it is missing."""
    return np.diff(log_close, prepend=np.nan) ** 2 + VARIANCE_FLOOR
