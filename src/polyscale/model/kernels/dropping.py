"""Dropout, compiled: which numbers are dropped is a hash of their place and a seed."""

from __future__ import annotations

import numpy as np
from numba import njit

from polyscale.model.kernels.vector import OPTIONS


@njit(**OPTIONS)
def drop(numbers, seed, threshold, scale, out):
    """Fill ``out``: numbers x scale, or 0 where the hash (uint32) is below the threshold."""
    for i in range(len(numbers)):
        h = np.uint32(np.uint32(i) * np.uint32(0x9E3779B9)) + seed
        h = np.uint32(np.uint32(h) ^ (np.uint32(h) >> np.uint32(16)))
        h = np.uint32(h * np.uint32(0x7FEB352D))
        h = np.uint32(h ^ (h >> np.uint32(15)))
        h = np.uint32(h * np.uint32(0x846CA68B))
        h = np.uint32(h ^ (h >> np.uint32(16)))
        out[i] = numbers[i] * scale if h >= threshold else np.float32(0.0)
