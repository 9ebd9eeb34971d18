"""Short loops that the compiler turns into vector instructions.

Every loop runs over whole views from 0, because an index that could be negative keeps numba from vectorising.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz"},
}


@njit(forceinline=True, **OPTIONS)
def exp32(x):
    """The exponential of a float32 that is not above 88, to 3e-7 of its value; below -87 it is exp(-87)."""
    x = max(x, np.float32(-87.0))
    whole = np.float32(math.floor(x * np.float32(1.4426950408889634) + np.float32(0.5)))
    rest = x - whole * np.float32(0.693359375) + whole * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * rest + np.float32(1.3981999507e-3)
    p = p * rest + np.float32(8.3334519073e-3)
    p = p * rest + np.float32(4.1665795894e-2)
    p = p * rest + np.float32(1.6666665459e-1)
    p = p * rest + np.float32(5.0000001201e-1)
    power = (np.int32(whole) + np.int32(127)) << np.int32(23)
    return (p * rest * rest + rest + np.float32(1.0)) * np.int32(power).view(np.float32)


@njit(forceinline=True, **OPTIONS)
def add_product(z, a, b):
    """Add a b to z."""
    for i in range(len(z)):
        z[i] += a[i] * b[i]


@njit(forceinline=True, **OPTIONS)
def add_four_products(z, a0, b0, a1, b1, a2, b2, a3, b3):
    """Add a0 b0 + a1 b1 + a2 b2 + a3 b3 to z, at half the loads and stores of four calls."""
    for i in range(len(z)):
        z[i] += a0[i] * b0[i] + a1[i] * b1[i] + a2[i] * b2[i] + a3[i] * b3[i]
