"""A checksum per row: what was written is what is read, or the damage is seen.

Parquet as Delta writes it has no checksums, and a flipped bit may leave a plausible price. The seal is a
64-bit hash over the bits of all that a row holds, salted with the series: a row that moved to another
series is seen too. It is stored beside the row, so that it is always as old as the row, whatever was killed
in between.
"""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

SEAL: Final = "seal"
_PRIME: Final = np.uint64(0x9E37_79B9_7F4A_7C15)  # 2^64 over the golden ratio, odd: multiplying loses nothing
_SHIFT: Final = np.uint64(29)
_NULL: Final = np.uint64(0xA5A5_A5A5_A5A5_A5A5)


def seal_of(rows: pl.DataFrame, series: str) -> pl.Series:
    """Hash all that the rows hold, in the frame's column order.

    Parameters
    ----------
    rows
        Columns of times in ms, Float64, Int64 or String.
    series
        Name of the series that they belong to.

    Returns
    -------
    polars.Series
        ``seal``, Int64: Delta has no unsigned numbers.
    """
    salt = zlib.crc32(series.encode())
    state = np.full(rows.height, salt, np.uint64)
    for column in rows.iter_columns():
        state = (state ^ _bits(column)) * _PRIME
        state ^= state >> _SHIFT
    return pl.Series(SEAL, state.view(np.int64))


def _bits(column: pl.Series) -> NDArray[np.uint64]:
    if column.dtype == pl.String:
        return np.array([zlib.crc32(text.encode()) for text in column], np.uint64)
    numbers = column.dt.epoch("ms") if column.dtype.is_temporal() else column
    if not numbers.null_count():
        return numbers.to_numpy().view(np.uint64)
    return np.where(numbers.is_null().to_numpy(), _NULL, numbers.fill_null(0).to_numpy().view(np.uint64))
