"""What a stage gave, ready to be compared: sorted times and one array per column; and the comparison.

Two values are the same if they differ by no more than ``relative`` of the larger one, plus ``relative`` of
the column's median size: a difference of prices near zero is exact only to the prices' own rounding. Null
and NaN are both missing; missing against a value is a difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.audit.frames import Ints, microseconds
from polyscale.audit.outcome import Value
from polyscale.audit.plan import Plan

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Column = Floats | pl.Series  # numbers; anything else


class Moved(NamedTuple):
    """A value that differs between two runs."""

    column: str
    row: int  # microseconds since 1970
    before: Value
    after: Value


@dataclass(frozen=True, eq=False)
class Rows:
    """A stage's rows in the order of their times."""

    times: Ints
    columns: Mapping[str, Column]

    def between(self, after: int, until: int) -> Rows:
        """Rows with after < time <= until."""
        first, last = np.searchsorted(self.times, [after, until], side="right")
        return Rows(
            self.times[first:last], {name: values[first:last] for name, values in self.columns.items()}
        )

    def at(self, times: Ints) -> Rows:
        """Rows at some of these times, all of which are there once."""
        index = np.searchsorted(self.times, times)
        return Rows(times, {name: values[index] for name, values in self.columns.items()})

    def present(self) -> dict[str, Bools]:
        """Where each column has a value."""
        return {name: ~_missing(values) for name, values in self.columns.items()}


def read_rows(frame: pl.DataFrame) -> Rows:
    """Sort a stage's rows by ``close_time``; those without a time are left out, and told by another test."""
    frame = frame.filter(pl.col("close_time").is_not_null())
    if not frame["close_time"].is_sorted():
        frame = frame.sort("close_time", maintain_order=True)
    values = _flat(frame.drop("close_time"))
    return Rows(microseconds(frame["close_time"]), {column.name: _column(column) for column in values})


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Structs and arrays of fixed width as columns of their own."""
    for name, kind in frame.schema.items():
        if isinstance(kind, pl.Struct):
            inner = [
                pl.col(name).struct.field(field.name).alias(f"{name}.{field.name}") for field in kind.fields
            ]
            return _flat(frame.with_columns(inner).drop(name))
        if isinstance(kind, pl.Array):
            inner = [pl.col(name).arr.get(i).alias(f"{name}[{i}]") for i in range(kind.shape[0])]
            return _flat(frame.with_columns(inner).drop(name))
    return frame


def _column(values: pl.Series) -> Column:
    if values.dtype.is_numeric():
        return values.cast(pl.Float64).to_numpy()
    if values.dtype == pl.Null:
        return np.full(len(values), np.nan)
    return values.cast(pl.String) if values.dtype in (pl.Categorical, pl.Enum) else values


def typical_sizes(rows: Rows) -> dict[str, float]:
    """Median size of each numeric column's finite values that are not zero; 0 where there is none."""
    sizes = {}
    for name, values in rows.columns.items():
        if isinstance(values, np.ndarray):
            used = np.abs(values[np.isfinite(values) & (values != 0)])
            sizes[name] = float(np.median(used)) if used.size else 0.0
    return sizes


def compare(expected: Rows, found: Rows, sizes: Mapping[str, float], plan: Plan) -> list[Moved]:
    """Every column's newest value that differs, of rows that both have at the same times.

    Columns that only one of them has are differences in their newest row.
    """
    assert len(expected.times) == len(found.times)
    if not len(expected.times):
        return []
    moved = []
    for name, before in expected.columns.items():
        if name not in found.columns:
            moved.append(Moved(name, int(expected.times[-1]), "a column", "no column"))
            continue
        after = found.columns[name]
        relative = plan.relative_of.get(name, plan.relative)
        where = _differs(before, after, relative, relative * sizes.get(name, 0.0))
        if where.any():
            row = len(where) - 1 - int(where[::-1].argmax())
            moved.append(Moved(name, int(expected.times[row]), _value(before, row), _value(after, row)))
    extra = [name for name in found.columns if name not in expected.columns]
    return moved + [Moved(name, int(expected.times[-1]), "no column", "a column") for name in extra]


def _differs(a: Column, b: Column, relative: float, floor: float) -> Bools:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.abs(a - b) > relative * np.maximum(np.abs(a), np.abs(b)) + floor
        odd = ~(np.isfinite(a) & np.isfinite(b))
        return np.where(odd, (a != b) & ~(np.isnan(a) & np.isnan(b)), apart)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):  # one run had no value, hence another type
        return ~(_missing(a) & _missing(b))
    if a.dtype != b.dtype:
        a, b = a.cast(pl.String, strict=False), b.cast(pl.String, strict=False)
    return a.ne_missing(b).to_numpy()


def _missing(values: Column) -> Bools:
    return np.isnan(values) if isinstance(values, np.ndarray) else values.is_null().to_numpy()


def _value(values: Column, row: int) -> Value:
    value = values[row]
    if isinstance(values, np.ndarray):
        return None if np.isnan(value) else float(value)
    return value if value is None or isinstance(value, (bool, str)) else str(value)
