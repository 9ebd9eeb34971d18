"""Keeping the target of an account from following every small wish.

In: wished targets at each close. Out: targets that move only where the wish has moved by more than the band.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@numba.njit(cache=True, nogil=True)
def hold_within(wished: Floats, band: float) -> Floats:
    """[T]: the last target that was taken up; closing and turning are never held back."""
    held, last = np.zeros(len(wished)), 0.0
    for t in range(len(wished)):
        wish = wished[t]
        if wish != last and (wish == 0.0 or wish * last < 0.0 or abs(wish - last) > band):
            last = wish
        held[t] = last
    return held
