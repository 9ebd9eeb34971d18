"""Does a part of a split know another part's labels? Whether it was purged, and embargoed where it must be.

In: one row per sample with its time, the end of its label, and its part. A row of an earlier part whose
label ends after a row of a later part was taken has seen prices that the later part is judged on. Where
training rows follow test rows, the labels of the test must have ended before.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from polyscale.audit.frames import Frame, Ints, microseconds, to_polars
from polyscale.audit.outcome import Audit, Finding, Reach, duration
from polyscale.audit.record import Record
from polyscale.audit.trial import instant
from polyscale.market.errors import DataError

PURGE = "purge"
EMBARGO = "embargo"


class _Part(NamedTuple):
    name: str
    times: Ints  # [N] rising, microseconds
    ends: Ints


def check_purge(rows: Frame, *, train: str = "train", embargo: timedelta = timedelta(0)) -> Audit:
    """Look for labels that reach from one part into another.

    Parameters
    ----------
    rows
        ``time``, ``label_end`` and ``part``, a word or number per part. Order of rows does not matter.
    train
        The part that is trained on; it may lie before, after and between the others.
    embargo
        Wait after the last label of a part before training may go on.

    Returns
    -------
    Audit
        One finding per pair of parts, with the number of rows and the worst of them.

    Raises
    ------
    DataError
        If a column is missing or null, or if there is no training part beside another.
    """
    parts = _read(rows, train)
    record = Record((PURGE, EMBARGO))
    for part in parts:
        for other in parts:
            before = part.name == train or (other.name != train and part.times[0] < other.times[0])
            if part.name != other.name and before:
                _purge(part, other, record)
            if part.name == train != other.name:
                _embargo(part, other, embargo, record)
    return record.audit().named("split")


def _read(rows: Frame, train: str) -> list[_Part]:
    frame, time, _ = to_polars(rows, "rows", ("time", "close_time"))
    missing = [name for name in ("label_end", "part") if name not in frame.columns]
    if missing:
        raise DataError(f"audit: rows of a split must have label_end and part, missing {missing}")
    if any(frame[name].null_count() for name in (time, "label_end", "part")):
        raise DataError("audit: time, label_end and part of a split must not be null; leave those rows out")
    names = frame["part"].cast(str).unique(maintain_order=True).to_list()
    if train not in names or len(names) == 1:
        raise DataError(f"audit: a split must have a part {train!r} and another one, got {names}; set train")
    frame = frame.sort(time)
    parts = []
    for name in names:
        mine = frame.filter(frame["part"].cast(str) == name)
        parts.append(_Part(name, microseconds(mine[time]), microseconds(mine["label_end"])))
    return parts


def _purge(part: _Part, other: _Part, record: Record) -> None:
    """Labels of a part that end after the next row of another one."""
    next_row = np.searchsorted(other.times, part.times)
    there = next_row < len(other.times)
    follows = np.where(there, other.times[np.minimum(next_row, len(other.times) - 1)], 0)
    overlap = np.where(there, part.ends - follows, 0)
    record.compared(PURGE, len(part.times), cuts=0)
    _find(PURGE, part, other, overlap, follows, record)


def _embargo(part: _Part, other: _Part, wait: timedelta, record: Record) -> None:
    """Rows of training before the labels of an earlier row of another part have ended."""
    last_row = np.searchsorted(other.times, part.times, side="right") - 1
    there = last_row >= 0
    ended = np.maximum.accumulate(other.ends)[np.maximum(last_row, 0)] + round(
        wait.total_seconds() * 1_000_000
    )
    overlap = np.where(there, ended - part.times, 0)
    record.compared(EMBARGO, int(there.sum()), cuts=0)
    _find(EMBARGO, part, other, overlap, ended, record)


def _find(test: str, part: _Part, other: _Part, overlap: Ints, cut: Ints, record: Record) -> None:
    broken: NDArray[np.bool_] = overlap > 0
    if not broken.any():
        return
    worst = int(overlap.argmax())
    reach = Reach(int(overlap[worst]) // 1_000, None)
    count = f"{int(broken.sum()):,} of {len(broken):,} rows of {part.name}"
    what = (
        f"have labels that end after rows of {other.name}"
        if test == PURGE
        else f"lie in labels of {other.name}"
    )
    note = f"{count} {what}, the worst by {duration(reach.ms)}"
    record.find(
        Finding(
            test,
            f"{part.name}|{other.name}",
            instant(part.times[worst]),
            instant(cut[worst]),
            source=f"{other.name} rows" if test == PURGE else f"{other.name}.label_end",
            reach=reach,
            note=note,
        )
    )
