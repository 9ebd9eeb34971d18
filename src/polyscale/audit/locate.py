"""Where a leak comes from: which source, which of its columns, and how far ahead.

For the first finding of a column: one source after the other is wrecked, then one column after the other,
and see whether the row moves; then, by bisection, the latest input that still matters is found. Runs are
shared by all columns that were found at one cut.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from polyscale.audit.causality import CAUSAL, LIVE
from polyscale.audit.inputs import PREFIX, Input, Wreck
from polyscale.audit.outcome import Finding, Reach
from polyscale.audit.poisons import HUGE, NAN, PERMUTED, POISONS
from polyscale.audit.rows import Rows, compare
from polyscale.audit.trial import RefusalError, Trial

_END_SHARE: Final = 0.02  # of the rows after the cut: where these still matter, the row looked to the end
_UNSTEADY: Final = "the stage gives another value on the same bars: fix its seed"
_NOTHING_MOVED: Final = (
    "the whole stage does not move there: the memory may be too short, or the step another one"
)


def locate(trial: Trial) -> None:
    """Give every finding of the first few columns its source and its reach."""
    causal = [finding for finding in trial.record.findings if finding.test in CAUSAL and finding.row]
    first: dict[str, Finding] = {}
    for finding in sorted(causal, key=lambda each: each.test == LIVE):  # one of a whole run is better known
        first.setdefault(finding.column, finding)
    search = _Search(trial, list(first.values()))
    for column, finding in list(first.items())[: trial.plan.locate]:
        unsteady = search.moves_by_itself(finding)
        found = None if unsteady else search.trace(finding)
        for other in causal:
            if other.column != column:
                continue
            if found is not None:
                trial.record.replace(replace(other, source=found.source, reach=found.reach))
            elif unsteady:
                trial.record.replace(replace(other, note=_UNSTEADY))
            elif other.test == LIVE:
                trial.record.replace(replace(other, note=_NOTHING_MOVED))


class _Trace(NamedTuple):
    source: str
    reach: Reach | None


class _Search:
    """Runs of a stage after wrecks, each run once: whether the rows of our findings move."""

    def __init__(self, trial: Trial, findings: list[Finding]) -> None:
        self._trial = trial
        self._findings = findings
        self._moved: dict[Wreck, dict[str, bool] | None] = {}

    def moves_by_itself(self, finding: Finding) -> bool:
        """Whether the row moves when nothing is wrecked."""
        return self._moves(
            finding, Wreck(PREFIX, max(int(each.times[-1]) for each in self._trial.inputs.all))
        )

    def trace(self, finding: Finding) -> _Trace | None:
        """Source and reach, or None if the row does not move again."""
        cut = _microseconds(finding)
        own = [finding.test] if finding.test in POISONS else []
        for method in dict.fromkeys([HUGE, *own, PERMUTED, NAN, PREFIX]):
            if self._moves(finding, Wreck(method, cut)):
                break
        else:
            return None
        inputs = self._trial.inputs.all
        culprits = [each for each in inputs if self._moves(finding, Wreck(method, cut, each.name))]
        if not culprits:  # only together
            return _Trace(" and ".join(each.name for each in inputs), None)
        names = [name for each in culprits for name in self._columns(finding, method, cut, each)]
        reaches = [self._reach(finding, method, cut, each) for each in culprits]
        return _Trace(", ".join(names), max(reaches, key=lambda reach: (reach.to_end, reach.ms)))

    def _columns(self, finding: Finding, method: str, cut: int, culprit: Input) -> list[str]:
        if method == PREFIX:
            return [culprit.name]
        names = [
            f"{culprit.name}.{column}"
            for column in culprit.columns
            if self._moves(finding, Wreck(method, cut, culprit.name, column))
        ]
        return names or [culprit.name]

    def _reach(self, finding: Finding, method: str, cut: int, culprit: Input) -> Reach:
        """The last row of a source that still matters: wrecking it and all after it moves the finding."""

        def matters(index: int) -> bool:
            return self._moves(finding, Wreck(method, int(culprit.times[index]) - 1, culprit.name))

        known, size = culprit.known_at(cut), len(culprit.times)
        end = size - max(1, int(_END_SHARE * (size - known)))
        if end > known and matters(end):
            return self._distance(finding, int(culprit.times[-1]), to_end=True)
        low, high, stride = known, end, 1
        while low + stride < high:
            if matters(low + stride):
                low, stride = low + stride, stride * 2
            else:
                high = low + stride
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if matters(middle) else (low, middle)
        return self._distance(finding, int(culprit.times[low]), to_end=False)

    def _distance(self, finding: Finding, until: int, *, to_end: bool) -> Reach:
        assert finding.row is not None
        row = round(finding.row.timestamp() * 1_000_000)
        bars = np.searchsorted(self._trial.bar_times, [row, until], side="right")
        return Reach((until - row) // 1_000, int(bars[1] - bars[0]), to_end)

    def _moves(self, finding: Finding, wreck: Wreck) -> bool:
        if wreck not in self._moved:
            self._moved[wreck] = self._run(wreck)
        moved = self._moved[wreck]
        return moved is not None and moved[finding.column]

    def _run(self, wreck: Wreck) -> dict[str, bool] | None:
        try:
            rows = self._trial.run(wreck)
        except RefusalError:
            return None
        return {finding.column: self._differs(finding, rows) for finding in self._findings}

    def _differs(self, finding: Finding, rows: Rows) -> bool:
        assert finding.row is not None
        time = round(finding.row.timestamp() * 1_000_000)
        expected, found = (each.between(time - 1, time) for each in (self._trial.whole, rows))
        if len(expected.times) != len(found.times):
            return True
        moved = compare(expected, found, self._trial.sizes, self._trial.plan)
        return any(each.column == finding.column for each in moved)


def _microseconds(finding: Finding) -> int:
    assert finding.cut is not None
    return round(finding.cut.timestamp() * 1_000_000)
