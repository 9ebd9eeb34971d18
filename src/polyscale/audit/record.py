"""What happens during an audit, written down as it happens: rows compared, refusals, first findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from polyscale.audit.outcome import Audit, Finding, Scope


@dataclass
class _Tally:
    cuts: int = 0
    rows: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    notes: dict[str, None] = field(default_factory=dict)


class Record:
    """Collects, and gives an `Audit` at the end."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._tallies = {test: _Tally() for test in tests}  # in the order in which they are shown
        self._findings: dict[tuple[str, str], Finding] = {}

    @property
    def findings(self) -> list[Finding]:
        """The first of every test and column so far."""
        return list(self._findings.values())

    def compared(self, test: str, rows: int, cuts: int = 1) -> None:
        """So many more rows, at one more cut (or at none)."""
        self._tallies[test].cuts += cuts
        self._tallies[test].rows += rows

    def refused(self, test: str, error: Exception) -> None:
        """The stage raised on wrecked bars."""
        self._tallies[test].refused[type(error).__name__] += 1

    def note(self, test: str, text: str) -> None:
        """Something that the reader of the test's line should know; the same text is noted once."""
        self._tallies[test].notes[text] = None

    def find(self, finding: Finding) -> None:
        """The first finding of a test and column is kept."""
        self._findings.setdefault((finding.test, finding.column), finding)

    def replace(self, finding: Finding) -> None:
        """Put a finding that is better known in the place of the one of its test and column."""
        self._findings[finding.test, finding.column] = finding

    def audit(self) -> Audit:
        """What was collected, as a result."""
        counts = Counter(finding.test for finding in self._findings.values())
        tests = [
            Scope(test, tally.cuts, tally.rows, counts[test], _notes(tally))
            for test, tally in self._tallies.items()
        ]
        return Audit(tuple(self._findings.values()), tuple(tests))


def _notes(tally: _Tally) -> tuple[str, ...]:
    refusals = [f"refused {count} times ({error})" for error, count in tally.refused.items()]
    return (*tally.notes, *refusals)
