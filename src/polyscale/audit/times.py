"""Times that cannot be right, in what goes in and in what comes out; and infinities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl

from polyscale.audit.frames import Ints, microseconds
from polyscale.audit.inputs import Input
from polyscale.audit.outcome import Finding
from polyscale.audit.record import Record
from polyscale.audit.rows import Rows
from polyscale.audit.trial import Trial, instant

IN: Final = "times in"
OUT: Final = "times out"
FINITE: Final = "finite"


def check_wrong_inputs(wrong: Mapping[str, pl.Series], record: Record) -> None:
    """Times that are null or do not rise: nothing can be cut there, and nothing else is tested."""
    for name, times in wrong.items():
        record.compared(IN, len(times), cuts=0)
        column = f"{name}.{times.name}"
        if times.null_count():
            record.find(Finding(IN, column, None, None, note=f"{times.null_count():,} times are null"))
            continue
        back = np.flatnonzero(np.diff(microseconds(times)) < 0) + 1
        note = f"{len(back):,} times lie before the row above; nothing else was tested, sort the rows first"
        record.find(Finding(IN, column, instant(microseconds(times)[back[0]]), None, note=note))


def check_input(given: Input, record: Record) -> None:
    """Times that are there twice. In a source, rows of different names (symbols) may share a time."""
    names = [
        name for name, kind in given.frame.schema.items() if kind in (pl.String, pl.Categorical, pl.Enum)
    ]
    keys = given.frame.select(given.time, *names)
    twice = keys.filter(keys.is_duplicated())
    record.compared(IN, keys.height, cuts=0)
    if not twice.is_empty():
        extra = twice.height - twice.n_unique()
        note = f"{extra:,} times are doubled"
        row = instant(microseconds(twice[given.time])[0])
        record.find(Finding(IN, f"{given.name}.{given.time}", row, None, note=note))


def check_answer(answer: pl.DataFrame, trial: Trial) -> None:
    """Times of a stage's rows: null, unsorted, doubled, or of no bar.

    Inside the span of the bars a time on their grid passes, for stages lay rows in gaps. Before the first bar
    and after the last one there is nothing that a row could be the close of.
    """
    record, times = trial.record, answer["close_time"]
    record.compared(OUT, len(times), cuts=0)
    if times.null_count():
        record.find(Finding(OUT, "close_time", None, None, note=f"{times.null_count():,} times are null"))
    out = microseconds(times.drop_nulls())
    unsorted = np.flatnonzero(np.diff(out) < 0) + 1
    if len(unsorted):
        note = f"{len(unsorted):,} times lie before the row above"
        record.find(Finding(OUT, "close_time", instant(out[unsorted[0]]), None, note=note))
    out = np.sort(out)
    twice = np.flatnonzero(np.diff(out) == 0) + 1
    if len(twice):
        note = f"{len(twice):,} times are doubled"
        record.find(Finding(OUT, "close_time", instant(out[twice[0]]), None, note=note))
    _check_places(np.unique(out), trial)


def _check_places(out: Ints, trial: Trial) -> None:
    bars, step = trial.bar_times, trial.step
    outside = (out < bars[0]) | (out > bars[-1])
    stray = out[~np.isin(out, bars) & (outside | ((out - bars[0]) % max(step, 1) != 0))]
    if not len(stray):
        return
    note = f"{len(stray):,} of {len(out):,} times are no bar's close_time"
    shift = int(stray[0] - bars[0]) if stray[0] < bars[0] else int(stray[-1] - bars[-1])
    if outside.any() and step and shift % step == 0:
        num = shift // step
        side = "before the first" if num < 0 else "after the last"
        label = "; labelled by the open?" if num == -1 else ""
        note += f": shifted by {num:+d} bar{'' if abs(num) == 1 else 's'}, {side} one{label}"
    trial.record.find(Finding(OUT, "close_time", instant(stray[0]), None, note=note))


def check_finite(rows: Rows, record: Record) -> None:
    """Infinities are findings, NaN counts as missing and is no more than noted."""
    for name, values in rows.columns.items():
        if not isinstance(values, np.ndarray):
            continue
        record.compared(FINITE, len(values), cuts=0)
        endless = np.flatnonzero(np.isinf(values))
        if len(endless):
            row = instant(rows.times[endless[0]])
            note = f"{len(endless):,} of {len(values):,} values are infinite"
            record.find(Finding(FINITE, name, row, None, float(values[endless[0]]), None, note=note))
