"""What a section of the page is made of: text, pictures, tables. The template draws nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go


@dataclass(frozen=True)
class Picture:
    """A figure with its headline, which names the unit, and a caption that says what it shows."""

    title: str
    figure: go.Figure
    caption: str
    half: bool = False  # may stand beside another one on a wide screen

    def spec(self) -> str:
        """The figure as JSON that is safe inside a script element."""
        return str(self.figure.to_json()).replace("<", "\\u003c")

    @property
    def height(self) -> int:
        """Pixels, so that the page does not jump while it is drawn."""
        return int(self.figure.layout.height)


@dataclass(frozen=True)
class Table:
    """Rows of text under a head; the first column names the row."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    caption: str = ""


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
