"""Tables of a reference, in Markdown: wide on a wide screen, a list on a narrow one (`_static/site.css`)."""

from __future__ import annotations


def code(text: str) -> str:
    """As code."""
    return f"`{text}`"


def table(columns: list[str], rows: list[list[str]]) -> str:
    """A table whose first column names what the row is about."""
    lines = [columns, ["---"] * len(columns), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "\n".join(["{.reference}", *("| " + " | ".join(line) + " |" for line in lines), ""])
