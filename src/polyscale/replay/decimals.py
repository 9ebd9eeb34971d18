"""Numbers as the exchange writes them: decimals without exponent that give back the same double."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

_MAX_DECIMALS: Final = 10
_NUM_LOOKED_AT: Final = 10_000  # values that tell how many decimals a series has


def decimal_text(value: float) -> str:
    """The shortest decimal that gives back the same double: ``27450``, ``0.0000001``."""
    text = repr(value)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def decimal_texts(values: NDArray[np.float64]) -> pl.Series:
    """`decimal_text` of every value, at once."""
    texts = pl.Series(values).cast(pl.String).str.strip_suffix(".0")
    if texts.str.contains("e", literal=True).any():
        return pl.Series([decimal_text(value) for value in values.tolist()], dtype=pl.String)
    return texts


def num_decimals(values: NDArray[np.float64]) -> int | None:
    """How many decimals the first of the values have; none if it is more than ten."""
    seen = values[:_NUM_LOOKED_AT]
    for decimals in range(_MAX_DECIMALS + 1):
        if np.array_equal(np.round(seen, decimals), seen):
            return decimals
    return None
