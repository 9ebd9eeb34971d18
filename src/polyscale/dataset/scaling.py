"""Frozen scalers: fitted on training rows by one call, applied by another.

Each input is centred on its median, divided by its interquartile range over that of a normal, and clipped, so
that a crash in training moves nothing and a crash in testing stays in range.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polyscale.market.settings import Settings

Floats = NDArray[np.float64]
_NORMAL_IQR = 1.349
CLIP = 6.0


class Scaler(Settings):
    """Medians and spreads of a table's columns."""

    median: tuple[float, ...]
    spread: tuple[float, ...]

    def apply(self, rows: Floats) -> NDArray[np.float32]:
        """Scale rows [T, F] to about one; NaN becomes 0 (the mask says that it is missing)."""
        scaled = (rows - np.array(self.median)) / np.array(self.spread)
        return np.nan_to_num(np.clip(scaled, -CLIP, CLIP)).astype(np.float32)


def fit_scaler(tables: list[Floats]) -> Scaler | None:
    """Fit on the finite rows of training tables [T, F], all symbols pooled; None where there is none."""
    rows = np.concatenate([table[np.isfinite(table).all(axis=1)] for table in tables])
    if len(rows) == 0:
        return None
    low, median, high = np.percentile(rows, [25, 50, 75], axis=0)
    spread = (high - low) / _NORMAL_IQR
    fallback = np.maximum(rows.std(axis=0), 1e-12)
    spread = np.where(spread > 1e-12, spread, np.where(fallback > 1e-9, fallback, 1.0))
    return Scaler(median=tuple(median.tolist()), spread=tuple(spread.tolist()))
