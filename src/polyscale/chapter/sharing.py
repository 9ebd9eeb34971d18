"""The rows that windows share: consecutive windows overlap, so every row is kept once.

In: arrays of windows [N, L, F]. Out: rows [T, F], and the row at which each window ends; from there on it is
a panel like any other. Shapes: N windows, L rows of a window, F features, T rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscale.chapter.frames import floats
from polyscale.market.errors import DataError

Float32s = NDArray[np.float32]
Ints = NDArray[np.int64]


def rows_of_windows(x: NDArray[Any]) -> tuple[Float32s, Ints]:
    """Keep each row once that consecutive windows share.

    Parameters
    ----------
    x
        [N, L, F]. Where a window goes on from the one before by s rows, s new rows are kept; windows in any
        order are right as well, and share less.

    Returns
    -------
    tuple
        Rows [T, F], and the row [N] at which each window ends: its L newest rows are the window.
    """
    x = np.ascontiguousarray(x, dtype=np.float32)
    num_windows, length, _ = x.shape
    bits = x.view(np.int32)  # a missing value equals itself
    shift = np.full(num_windows - 1, length)
    open_pairs = np.arange(num_windows - 1)
    for s in range(length):
        likely = open_pairs[(bits[open_pairs, -1] == bits[open_pairs + 1, length - 1 - s]).all(axis=-1)]
        same = (bits[likely, s:] == bits[likely + 1, : length - s]).all(axis=(1, 2))
        shift[likely[same]] = s
        open_pairs = np.setdiff1d(open_pairs, likely[same], assume_unique=True)
        if len(open_pairs) == 0:
            break
    window = np.repeat(np.arange(1, num_windows), shift)
    begins = np.cumsum(shift) - shift
    place = np.arange(len(window)) - np.repeat(begins, shift) + length - np.repeat(shift, shift)
    rows = np.concatenate([x[0], x[window, place]])
    return rows, length - 1 + np.concatenate([[0], np.cumsum(shift)])


def check_windows(x: object, scales: Sequence[str]) -> dict[str, Float32s]:
    """Arrays [N, L, F] of all scales, with the same N >= 1.

    Raises
    ------
    DataError
        Names the scale and its shape.
    """
    if not isinstance(x, Mapping) or set(x) != set(scales):
        found = list(x) if isinstance(x, Mapping) else type(x).__name__
        raise DataError(f"X must be a dict of the model's scales {list(scales)}, got {found}")
    arrays = {scale: floats(x[scale], f"X of {scale}", np.float32) for scale in scales}
    counts = {scale: array.shape[:1] for scale, array in arrays.items()}
    wrong = {scale: a.shape for scale, a in arrays.items() if a.ndim != 3 or 0 in a.shape}
    if wrong or len(set(counts.values())) > 1:
        shapes = {scale: array.shape for scale, array in arrays.items()}
        raise DataError(
            f"X must be [windows, rows, features] with as many windows of every scale, got {shapes}"
        )
    return arrays
