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
from polyscale.audit.trial import RefusalError, Trial, first_line, instant
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


class Attempt(NamedTuple):
    """One run of a stage on wrecked inputs, and the rows that must be what they were."""

    test: str
    cut: int
    wreck: Wreck
    inputs: Inputs
    expected: Rows  # of the whole run
    after: int  # rows after it, up to the cut, are compared
    step: Stage | None = None  # instead of the stage
    against: Wreck | None = None  # expected are the rows after this wreck of the same inputs


def whole_attempts(trial: Trial, cut: int, methods: tuple[str, ...]) -> list[Attempt]:
    """All rows up to a cut under each method."""
    expected = trial.whole.between(EVER, cut)
    return [Attempt(method, cut, Wreck(method, cut), trial.inputs, expected, EVER) for method in methods]


def newest_attempts(trial: Trial, cut: int, poison: str, live: Live) -> list[Attempt]:
    """The newest rows before a cut under removal and one poison."""
    if live.newest is None and live.memory is None:
        return whole_attempts(trial, cut, (PREFIX, poison))
    known = trial.inputs.bars.known_at(cut)
    memory = live.memory or known
    after = int(trial.bar_times[known - _NEWEST - 1]) if known > _NEWEST else int(trial.bar_times[0]) - 1
    expected = trial.whole.between(after, int(trial.bar_times[known - 1]))
    ahead = memory if live.newest is None else _AHEAD
    window = trial.inputs.window(
        max(known - memory - _NEWEST + 1, 0), min(known + ahead, len(trial.bar_times))
    )
    step = None if live.newest is None else partial(live.newest, since=instant(after))
    removed = Attempt(LIVE, cut, Wreck(PREFIX, cut), window, expected, after, step)
    if live.newest is None:  # against the same piece of bars, so that its future alone differs
        whole = Wreck(PREFIX, int(window.bars.times[-1]))  # nothing lies after it
        return [removed, removed._replace(test=poison, wreck=Wreck(poison, cut), against=whole)]
    return [removed, removed._replace(test=poison, wreck=Wreck(poison, cut))]


def attempt(trial: Trial, it: Attempt) -> tuple[Rows, Rows] | RefusalError:
    """Expected and found rows, or the stage's refusal; writes nothing down, so that threads may share it."""
    try:
        expected = it.expected
        if it.against is not None:
            expected = trial.run(it.against, it.inputs, it.step).between(it.after, it.cut)
        found = trial.run(it.wreck, it.inputs, it.step).between(it.after, it.cut)
    except RefusalError as refusal:
        return refusal
    return (_newest_of(expected, found) if it.step is not None else expected), found


def judge(trial: Trial, it: Attempt, outcome: tuple[Rows, Rows] | RefusalError) -> None:
    """Write down what an attempt gave.

    Raises
    ------
    DataError
        If the stage raised on bars that are merely fewer, and values were due.
    """
    if not isinstance(outcome, RefusalError):
        _examine(trial, it.test, *outcome, it.cut)
        return
    trial.record.refused(it.test, outcome.cause)
    due = any(present.any() for present in it.expected.present().values())
    early = trial.inputs.bars.known_at(it.cut) < _EARLY_SHARE * len(trial.bar_times)
    if trial.may_refuse or it.wreck.method != PREFIX or not due or early:
        return
    kept, until = it.inputs.bars.known_at(it.cut), instant(it.cut)
    raise DataError(
        f"audit: the stage must run on the {kept:,} bars up to {until:%Y-%m-%d %H:%M}, "
        f"where it gives {len(it.expected.times):,} rows when it sees all bars; it raised "
        f"{type(outcome.cause).__name__}: {first_line(outcome.cause)}"
    ) from outcome.cause


def _newest_of(expected: Rows, found: Rows) -> Rows:
    """A step may give fewer rows than we look at, but not fewer than the newest."""
    first = min(found.times[0], expected.times[-1]) if len(found.times) and len(expected.times) else None
    return expected if first is None else expected.between(int(first) - 1, int(expected.times[-1]))


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
