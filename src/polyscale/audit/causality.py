"""Does a row move when only its future does? At every cut, by removal and by three poisons.

*Whole cuts*: all rows up to the cut are compared under all four. *Newest cuts*: many instants, removal and
one poison each, in turn. With ``memory`` these run on that many bars only, and with ``newest`` on a cheaper
step; then removal is called ``bar-by-bar``, for it compares what one sees live with what the whole run
says.
"""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

import numpy as np

from polyscale.audit.frames import Stage
from polyscale.audit.inputs import PREFIX, Inputs, Wreck
from polyscale.audit.outcome import Finding
from polyscale.audit.poisons import POISONS
from polyscale.audit.rows import Rows, compare
from polyscale.audit.trial import RefusalError, Trial, instant
from polyscale.market.errors import DataError

ROWS: Final = "rows"
LIVE: Final = "bar-by-bar"
CAUSAL: Final = (PREFIX, *POISONS, ROWS, LIVE)
_NEWEST: Final = 4  # bars whose rows are compared where a step or a memory is given
_AHEAD: Final = 512  # bars of future that a step is shown, wrecked
EVER: Final = -(2**62)  # before all times
_EARLY_SHARE: Final = 0.05  # of the bars: with fewer a stage may raise


class Live(NamedTuple):
    """How the newest rows are computed for less than a whole run."""

    newest: Stage | None = None  # newest(bars, since=..., **sources): rows after an instant alone
    memory: int | None = None


def wreck_whole(trial: Trial, cut: int, methods: tuple[str, ...]) -> None:
    """Compare all rows up to a cut under each method."""
    expected = trial.whole.between(EVER, cut)
    for method in methods:
        found = _run(trial, method, Wreck(method, cut), trial.inputs, expected)
        if found is not None:
            _examine(trial, method, expected, found.between(EVER, cut), cut)


def wreck_newest(trial: Trial, cut: int, poison: str, live: Live) -> None:
    """Compare the newest rows before a cut: removal, and one poison."""
    if live.newest is None and live.memory is None:
        wreck_whole(trial, cut, (PREFIX, poison))
        return
    known = trial.inputs.bars.known_at(cut)
    after = int(trial.bar_times[known - _NEWEST - 1]) if known > _NEWEST else int(trial.bar_times[0]) - 1
    expected = trial.whole.between(after, int(trial.bar_times[known - 1]))
    if live.newest is None:
        _wreck_piece(trial, cut, poison, expected, after, live.memory or known)
        return
    window = _window(trial, known, live.memory or known, _AHEAD)
    step = partial(live.newest, since=instant(after))
    for test, method in ((LIVE, PREFIX), (poison, poison)):
        found = _run(trial, test, Wreck(method, cut), window, expected, step)
        if found is not None:
            found = found.between(after, cut)
            _examine(trial, test, _newest_of(expected, found), found, cut)


def _wreck_piece(trial: Trial, cut: int, poison: str, expected: Rows, after: int, memory: int) -> None:
    """A piece of the bars against the whole run; then against itself with its future wrecked."""
    window = _window(trial, trial.inputs.bars.known_at(cut), memory, memory)
    found = _run(trial, LIVE, Wreck(PREFIX, cut), window, expected)
    if found is not None:
        _examine(trial, LIVE, expected, found.between(after, cut), cut)
    whole = Wreck(PREFIX, int(window.bars.times[-1]))  # nothing lies after it
    piece, poisoned = (_run(trial, poison, wreck, window, expected) for wreck in (whole, Wreck(poison, cut)))
    if piece is not None and poisoned is not None:
        _examine(trial, poison, piece.between(after, cut), poisoned.between(after, cut), cut)


def _window(trial: Trial, known: int, memory: int, ahead: int) -> Inputs:
    """What the newest rows depend on, and some of what comes after."""
    return trial.inputs.window(max(known - memory - _NEWEST + 1, 0), min(known + ahead, len(trial.bar_times)))


def _newest_of(expected: Rows, found: Rows) -> Rows:
    """A step may give fewer rows than we look at, but not fewer than the newest."""
    first = min(found.times[0], expected.times[-1]) if len(found.times) and len(expected.times) else None
    return expected if first is None else expected.between(int(first) - 1, int(expected.times[-1]))


def _run(
    trial: Trial, test: str, wreck: Wreck, inputs: Inputs, expected: Rows, stage: Stage | None = None
) -> Rows | None:
    """Rows after a wreck, or None where the stage refused it; the refusal is noted beside the test.

    Raises
    ------
    DataError
        If it raises on bars that are merely fewer, and values were due.
    """
    try:
        return trial.run(wreck, inputs, stage)
    except RefusalError as refusal:
        trial.record.refused(test, refusal.cause)
        due = any(present.any() for present in expected.present().values())
        early = trial.inputs.bars.known_at(wreck.after) < _EARLY_SHARE * len(trial.bar_times)
        if trial.may_refuse or wreck.method != PREFIX or not due or early:
            return None
        kept, until = inputs.bars.known_at(wreck.after), instant(wreck.after)
        raise DataError(
            f"audit: the stage must run on the {kept:,} bars up to {until:%Y-%m-%d %H:%M}, "
            f"where it gives {len(expected.times):,} rows when it sees all bars; it raised "
            f"{type(refusal.cause).__name__}: {refusal.cause}"
        ) from refusal.cause


def _examine(trial: Trial, test: str, expected: Rows, found: Rows, cut: int) -> None:
    """Compare the rows, and whether they are the same rows."""
    if not np.array_equal(expected.times, found.times):
        _examine_set(trial, test, expected, found, cut)
        common = np.intersect1d(expected.times, found.times)
        expected, found = expected.at(common), found.at(common)
    trial.record.compared(ROWS, len(expected.times))
    trial.record.compared(test, len(expected.times))
    for moved in compare(expected, found, trial.sizes, trial.plan):
        trial.record.find(
            Finding(test, moved.column, instant(moved.row), instant(cut), moved.before, moved.after)
        )


def _examine_set(trial: Trial, test: str, expected: Rows, found: Rows, cut: int) -> None:
    """Rows that came or went. In a gap that is cut, rows may be missing: nothing calls for them yet."""
    missing = np.setdiff1d(expected.times, found.times)
    extra = np.setdiff1d(found.times, expected.times)
    known = trial.inputs.bars.known_at(cut)
    if test in (PREFIX, LIVE) and known:
        missing, extra = (times[times <= trial.bar_times[known - 1]] for times in (missing, extra))
    num = len(missing)
    if num:
        late = not len(extra) and np.array_equal(missing, trial.bar_times[max(known - num, 0) : known])
        note = f"shifted by -{num} bar{'' if num == 1 else 's'}: the newest rows come only with later bars"
        trial.record.find(
            Finding(
                ROWS,
                "close_time",
                instant(missing[-1]),
                instant(cut),
                "a row",
                "no row",
                note=note if late else f"{num:,} rows went",
            )
        )
    elif len(extra):
        trial.record.find(
            Finding(
                ROWS,
                "close_time",
                instant(extra[-1]),
                instant(cut),
                "no row",
                "a row",
                note=f"{len(extra):,} row{'' if len(extra) == 1 else 's'} came",
            )
        )
    elif len(expected.times) - len(np.unique(expected.times)) != len(found.times) - len(
        np.unique(found.times)
    ):
        trial.record.find(
            Finding(
                ROWS,
                "close_time",
                None,
                instant(cut),
                note="rows are doubled in one run and not in the other",
            )
        )
