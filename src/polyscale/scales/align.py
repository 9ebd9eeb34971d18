"""Which row of a coarser scale is known at each origin, and how old it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def align(origin_ms: Ints, close_ms: Ints) -> Ints:
    """Index of the last row with ``close_time <= origin``, -1 where there is none.

    Parameters
    ----------
    origin_ms
        [N] origins, epoch ms.
    close_ms
        [T] close times of the scale's rows, rising, epoch ms.
    """
    return np.searchsorted(close_ms, origin_ms, side="right").astype(np.int64) - 1


def age(origin_ms: Ints, close_ms: Ints, index: Ints, step_ms: int) -> NDArray[np.float64]:
    """How long ago the aligned row closed, in its own bars: 0 when it closes at the origin, below 1 else.

    1 where there is no row yet, and never more (a gap is told by the mask, not by the age).
    """
    ages = (origin_ms - close_ms[np.maximum(index, 0)]) / step_ms
    return np.where(index < 0, 1.0, np.minimum(ages, 1.0))
