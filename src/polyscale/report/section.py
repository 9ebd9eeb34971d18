"""What a section of the page is made of: text, pictures, tables. The template draws nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

# a figure, with its unit, interval or star behind it; a dash, or nothing, is one too
_FIGURE = re.compile(r"(?:< |[−+])?\d[\d,.]*(?![\d-])(?: %| ?[a-z]+)?(?: .*)?|–(?: \[–\])?|\[.*\]|")


@dataclass(frozen=True)
class Picture:
    """A figure with its headline, its unit beside that, and a caption that says what it shows."""

    title: str
    figure: go.Figure
    caption: str
    half: bool = False  # may stand beside another one on a wide screen
    unit: str = ""  # of what is drawn, and the time zone where time is

    def spec(self) -> str:
        """The figure as JSON that is safe inside a script element."""
        return str(self.figure.to_json()).replace("<", "\\u003c")

    @property
    def height(self) -> int:
        """Pixels, so that the page does not jump while it is drawn."""
        return int(self.figure.layout.height)


@dataclass(frozen=True)
class Table:
    """Rows of text under a head; the first columns name the row, later rows of a group leave them empty."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    caption: str = ""

    @property
    def num_names(self) -> int:
        """How many columns name a row: one more than any row leaves empty at its beginning."""
        return 1 + max((_num_empty(row) for row in self.rows), default=0)

    @property
    def figures(self) -> list[int]:
        """Columns of figures, counted from 1: their cells stand flush right, so that digits line up."""
        columns = enumerate(zip(*self.rows, strict=True), start=1)
        return [i for i, cells in columns if i > self.num_names and all(map(_FIGURE.fullmatch, cells))]


def _num_empty(row: Sequence[str]) -> int:
    return next((i for i, cell in enumerate(row) if cell), 0)


@dataclass(frozen=True)
class Section:
    """A part of the page: ``slug`` is its id, ``lead`` the paragraphs on top, ``points`` heads and text."""

    slug: str
    title: str
    lead: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    code: str = ""
    points: Sequence[tuple[str, str]] = ()
