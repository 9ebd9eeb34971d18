"""What an audit says: which tests were run on how much, and what was found.

`Audit` is what every door of the package returns. It prints as a table, goes to JSON, and joins with others.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from polyscale.audit.table import aligned

Value = float | str | bool | None  # None is missing: null or NaN
_DEAF = "the same whatever the inputs are: all columns"  # a table made beforehand, or a clock
_CAUSAL = ("prefix", "bar-by-bar", "rows", "poison-nan", "poison-1e9", "poison-permuted")


@dataclass(frozen=True)
class Reach:
    """How far after its own time a row looked."""

    ms: int
    bars: int | None
    to_end: bool = False

    def __str__(self) -> str:
        if self.to_end:
            return "to the end of the data"
        bars = "" if self.bars is None else f" ({self.bars} bar{'' if self.bars == 1 else 's'})"
        return duration(self.ms) + bars


@dataclass(frozen=True)
class Finding:
    """One column of one row that is not what it could be when it claims to be known."""

    test: str
    column: str
    row: datetime | None  # time of the row, the one nearest to the cut
    cut: datetime | None  # what was not available then was taken away or wrecked; warm-up: what was before
    before: Value = None
    after: Value = None
    source: str | None = None  # what it knew too early: "bars.close"
    reach: Reach | None = None  # how far ahead
    note: str = ""

    def __str__(self) -> str:
        where = f"{self.column} at {shown_time(self.row)}" if self.row else self.column
        if self.test == "warm-up":
            before, after = shown_pair(self.before, self.after)
            change = f"{before} with them, {after} without"
            return f"{where} depends on bars before {shown_time(self.cut)} ({self.test}: {change})"
        if self.test not in _CAUSAL:
            return f"{where}: {self.note} ({self.test})"
        known = f"knows {self.source or f'what comes after {shown_time(self.cut)}'}"
        ahead = "" if self.reach is None else f" {self.reach}{'' if self.reach.to_end else ' ahead'}"
        change = " became ".join(shown_pair(self.before, self.after))
        note = f"; {self.note}" if self.note else ""
        return f"{where} {known}{ahead} ({self.test}: {change}{note})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: instants in ISO 8601, infinities as text."""
        plain = asdict(self)
        for name in ("row", "cut"):
            plain[name] = plain[name].isoformat() if plain[name] else None
        for name in ("before", "after"):
            if isinstance(plain[name], float) and not math.isfinite(plain[name]):
                plain[name] = str(plain[name])
        if self.reach is not None:
            plain["reach"]["text"] = str(self.reach)
        return plain


@dataclass(frozen=True)
class Scope:
    """A test that was run, or was not, with the reason in its notes."""

    test: str
    cuts: int
    rows: int  # compared, over all cuts
    findings: int
    notes: tuple[str, ...] = ()
    of: str = ""  # what was tested, where an audit speaks of several things


@dataclass(frozen=True)
class Audit:
    """Findings, and what was done to get them."""

    findings: tuple[Finding, ...]
    tests: tuple[Scope, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def named(self, of: str) -> Audit:
        """The same, with a name beside every test, for a table of several audits."""
        return replace(self, tests=tuple(replace(scope, of=of) for scope in self.tests))

    def join(self, *others: Audit) -> Audit:
        """One audit of several, in their order: ``Audit.join(features, fits, split)``."""
        every = (self, *others)
        return Audit(
            tuple(finding for audit in every for finding in audit.findings),
            tuple(scope for audit in every for scope in audit.tests),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "clean": self.clean,
            "findings": [finding.to_dict() for finding in self.findings],
            "tests": [asdict(scope) | {"notes": list(scope.notes)} for scope in self.tests],
        }

    def to_json(self) -> str:
        """JSON on several lines, strict: no NaN, no infinity."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def __str__(self) -> str:
        heads = ["of", "test", "cuts", "rows", "findings", "notes"]
        parts = [self._headline(), aligned(heads, [_scope_line(scope) for scope in self.tests], "<<>>><")]
        if self.findings:
            parts.append(
                aligned(["column", "row", "knew", "ahead", "test", "what moved"], self._lines(), "<<<<<<")
            )
        return "\n\n".join(parts)

    def _headline(self) -> str:
        if self.clean:
            notes = [note for scope in self.tests for note in scope.notes]
            partly = any(note.startswith("no value before") or note == _DEAF for note in notes)
            but = ", but not every column could be tested (see notes)" if partly else ""
            return f"clean: nothing found by {len(self.tests)} tests{but}"
        columns = len({finding.column for finding in self.findings})
        warm_up = sum(finding.test == "warm-up" for finding in self.findings)
        of = f", {warm_up} of them of warm-up, not of look-ahead" if warm_up else ""
        return f"{_counted(len(self.findings), 'finding')} in {_counted(columns, 'column')}{of}"

    def _lines(self) -> list[list[str]]:
        """One line per column and kind of test: the first finding speaks, the other tests are named."""
        groups: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            kind = "causal" if finding.test in _CAUSAL else finding.test
            groups.setdefault((finding.column, kind), []).append(finding)
        return [_line(group) for group in groups.values()]


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _named_once(tests: list[str]) -> str:
    """``prefix, poison-nan, -1e9``: what all poisons share is said once."""
    names = list(dict.fromkeys(tests))
    poisons = [name for name in names if name.startswith("poison")]
    return ", ".join(name.removeprefix("poison") if name in poisons[1:] else name for name in names)


def _scope_line(scope: Scope) -> list[str]:
    cuts = f"{scope.cuts:,}" if scope.cuts else ""
    return [scope.of, scope.test, cuts, f"{scope.rows:,}", f"{scope.findings:,}", "; ".join(scope.notes)]


def _line(group: list[Finding]) -> list[str]:
    first = next((finding for finding in group if finding.reach), group[0])
    pair = (first.before, first.after)
    change = "" if pair == (None, None) else " -> ".join(shown_pair(*pair))
    return [
        first.column,
        shown_time(first.row),
        first.source or "",
        "" if first.reach is None else str(first.reach),
        _named_once([finding.test for finding in group]),
        "; ".join(part for part in (change, first.note) if part),
    ]


def shown_pair(before: Value, after: Value) -> tuple[str, str]:
    """Two values as people read them, with as many digits as tell them apart."""
    for digits in (6, 9, 12, 17):
        first, second = (
            "null" if value is None else f"{value:.{digits}g}" if isinstance(value, float) else str(value)
            for value in (before, after)
        )
        if first != second:
            break
    return first, second


def shown_time(instant: datetime | None) -> str:
    """To the minute, or finer where it is."""
    if instant is None:
        return ""
    whole = instant.second == 0 and instant.microsecond == 0
    return f"{instant:%Y-%m-%d %H:%M}" if whole else f"{instant:%Y-%m-%d %H:%M:%S.%f}".rstrip("0").rstrip(".")


def duration(ms: int) -> str:
    """A length of time in its two largest units: ``30m``, ``1h 30m``, ``2d``."""
    parts, rest = [], abs(ms)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        if rest >= size:
            parts.append(f"{rest // size}{unit}")
            rest %= size
    return ("-" if ms < 0 else "") + (" ".join(parts[:2]) or "0m")
