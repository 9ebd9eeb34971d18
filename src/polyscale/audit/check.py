"""Does any row of a stage know its future? Two tests of any function from bars to rows.

- *prefix*: the rows up to t, computed from the bars up to t alone, equal those computed from all bars.
- *poison*: wreck every bar after t; the rows up to t do not move.

In: a stage, bars. Out: findings, none where the stage is causal. The stage is a function from bars to a frame
with a ``close_time``; a NumPy stage is wrapped by its caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from polyscale.market.errors import DataError

Stage = Callable[[pl.DataFrame], pl.DataFrame]
_POISON: Final = 7.0  # prices and volumes after the cut are multiplied by it, and turned about
_RELATIVE: Final = 1e-9


@dataclass(frozen=True)
class Finding:
    """One column of one row that changed when only its future had changed."""

    test: str  # prefix, poison or rows
    column: str
    row: datetime  # close_time of the first row that moved
    cut: datetime  # what lay after it was taken away or wrecked
    before: float | None
    after: float | None

    def __str__(self) -> str:
        return (
            f"{self.column} at {self.row:%Y-%m-%d %H:%M} knows bars after {self.cut:%Y-%m-%d %H:%M} "
            f"({self.test}: {self.before} became {self.after})"
        )


def check(
    stage: Stage, bars: pl.DataFrame, cuts: Sequence[int] | None = None, relative: float = _RELATIVE
) -> list[Finding]:
    """Test a stage at several cuts; the first finding of each column and test.

    Parameters
    ----------
    bars
        Checked bars of one market.
    cuts
        Numbers of bars that are kept; absent for ten between the middle and the end, also just before the
        end.
    relative
        Difference that is let pass, relative to the value.

    Raises
    ------
    DataError
        If the stage gives no ``close_time``, or no rows at all: then nothing was tested.
    """
    whole = _rows(stage, bars)
    if whole.is_empty():
        raise DataError("audit: the stage must give at least 1 row on all bars, got 0; give more bars")
    chosen = _default_cuts(bars.height) if cuts is None else cuts
    findings: dict[tuple[str, str], Finding] = {}
    for kept in chosen:
        cut = bars["close_time"][kept - 1]
        expected = whole.filter(pl.col("close_time") <= cut)
        for test, changed in (("prefix", bars.head(kept)), ("poison", _poison(bars, kept))):
            found = _rows(stage, changed).filter(pl.col("close_time") <= cut)
            for finding in _compare(test, cut, expected, found, relative):
                findings.setdefault((test, finding.column), finding)
    return list(findings.values())


def _default_cuts(num_bars: int) -> list[int]:
    spread = np.linspace(num_bars / 2, num_bars - 1, 10).astype(int)
    return sorted({max(int(kept), 1) for kept in spread})


def _rows(stage: Stage, bars: pl.DataFrame) -> pl.DataFrame:
    rows = stage(bars)
    if "close_time" not in rows.columns:
        raise DataError(f"audit: the stage must give a frame with close_time, got columns {rows.columns}")
    return rows


def _poison(bars: pl.DataFrame, kept: int) -> pl.DataFrame:
    """Bars that are still bars, but for a future that is upside down and seven times as large."""
    past, future = bars.head(kept), bars.tail(bars.height - kept)
    numbers = ("open", "high", "low", "close", "volume", "turnover")
    return pl.concat([past, future.with_columns(pl.col(name).reverse() * _POISON for name in numbers)])


def _compare(
    test: str, cut: datetime, expected: pl.DataFrame, found: pl.DataFrame, relative: float
) -> list[Finding]:
    if not expected["close_time"].equals(found["close_time"]):
        row = expected["close_time"].max() if expected.height else cut
        return [Finding("rows", "close_time", row, cut, expected.height, found.height)]  # type: ignore[arg-type]
    findings = []
    for name in expected.columns:
        if name == "close_time":
            continue
        a, b = (frame[name].cast(pl.Float64).to_numpy() for frame in (expected, found))
        moved = ~(np.isclose(a, b, rtol=relative, atol=0, equal_nan=True))
        if moved.any():
            row = int(moved.argmax())
            findings.append(
                Finding(test, name, expected["close_time"][row], cut, float(a[row]), float(b[row]))
            )
    return findings
