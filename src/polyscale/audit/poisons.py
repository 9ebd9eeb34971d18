"""Three ways to wreck rows: nothing, far too much, and what belongs elsewhere.

In: a whole frame. Out: the same rows and times with other values; the audit takes of it what lies after a
cut, so one wrecked copy serves all cuts. Bars stay bars where they can: low <= open, close <= high.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from polyscale.audit.frames import Ints

NAN: Final = "poison-nan"
HUGE: Final = "poison-1e9"
PERMUTED: Final = "poison-permuted"
POISONS: Final = (NAN, HUGE, PERMUTED)
_PRICES = ("open", "high", "low", "close")
_SIZE: Final = 1e9


def wreck_all(frame: pl.DataFrame, time: str, seed: int) -> dict[str, pl.DataFrame]:
    """Wreck every row of a frame in every way; the time column is kept."""
    rng = np.random.default_rng(seed)
    order = _one_cycle(rng, frame.height)
    spread = pl.Series(1 + rng.random(frame.height))
    values = frame.drop(time)
    wrecked = {
        NAN: [_nothing(column) for column in values],
        HUGE: _huge(values, spread),
        PERMUTED: values[order].get_columns(),
    }
    return {kind: frame.with_columns(columns) for kind, columns in wrecked.items()}


def _one_cycle(rng: np.random.Generator, num_rows: int) -> Ints:
    """A permutation that leaves no row where it is (Sattolo's: one cycle through all rows)."""
    walk = rng.permutation(num_rows)
    order = np.empty(num_rows, np.int64)
    order[walk] = np.roll(walk, 1)
    return order


def _nothing(column: pl.Series) -> pl.Series:
    """NaN where the type has it, else null."""
    nothing = float("nan") if column.dtype.is_float() else None
    return pl.Series(column.name, [nothing], dtype=column.dtype).new_from_index(0, len(column))


def _huge(values: pl.DataFrame, spread: pl.Series) -> list[pl.Series]:
    """Numbers about 1e9, another factor in each row; one scale for all prices, so that they stay in order."""
    prices = [name for name in _PRICES if name in values.columns and values.schema[name].is_float()]
    scale = {name: _scale(values[prices[-1]]) for name in prices}
    return [_enlarged(column, scale.get(column.name), spread) for column in values]


def _enlarged(column: pl.Series, scale: float | None, spread: pl.Series) -> pl.Series:
    if column.dtype == pl.Boolean:
        return ~column
    if column.dtype.is_integer():
        enlarged = (spread * _SIZE).cast(column.dtype, strict=False)
        return enlarged.fill_null(100).alias(column.name)  # an Int8 holds no 1e9
    if not column.dtype.is_float():
        return column
    if scale is not None:
        return (column * scale * spread).cast(column.dtype).alias(column.name)
    sizes = column * _scale(column) * spread
    moved = pl.select(pl.when(column == 0).then(spread * _SIZE).otherwise(sizes)).to_series()
    return moved.cast(column.dtype).alias(column.name)


def _scale(column: pl.Series) -> float:
    sizes = column.abs().fill_nan(None)
    typical = sizes.filter(sizes > 0).median()
    return _SIZE / float(typical) if isinstance(typical, float) and np.isfinite(typical) else _SIZE
