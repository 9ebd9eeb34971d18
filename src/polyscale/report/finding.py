"""One question that a strategy is asked, with its answer in words and what shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polyscale.report.section import Picture, Table


@dataclass(frozen=True)
class Finding:
    """A head, a sentence or two that a reader without the pictures understands, pictures and tables."""

    head: str
    text: str
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()


def not_asked(head: str, reason: str) -> Finding:
    """A question without an answer, and why."""
    return Finding(head, f"Not told: {reason}.")
