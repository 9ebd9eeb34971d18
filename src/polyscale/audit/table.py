"""Rows of text as an aligned table in plain characters."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(heads: Sequence[str], rows: Sequence[Sequence[str]], sides: str) -> str:
    """Lay cells under their heads; ``sides`` has ``<`` or ``>`` per column. Empty columns are left out."""
    used = [i for i in range(len(heads)) if any(row[i] for row in rows)]
    lines = [[heads[i] for i in used], *[[row[i] for i in used] for row in rows]]
    widths = [max(len(line[j]) for line in lines) for j in range(len(used))]
    return "\n".join(
        "  ".join(f"{cell:{sides[used[j]]}{widths[j]}}" for j, cell in enumerate(line)).rstrip()
        for line in lines
    )
