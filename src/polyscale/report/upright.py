"""Dots with upright whiskers over names: months, hours, regimes.

In: a figure, a row of it, a `Mark` per name. Out: the traces, added.
"""

from __future__ import annotations

import calendar
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from polyscale.report import palette

_MONTH = re.compile(r"(\d{4})-(\d{2})")
_MOST_MONTHS = 9  # labels of months that stand beside one another on a narrow screen


@dataclass(frozen=True)
class Mark:
    """A value with its interval, if it has one."""

    name: str
    value: float
    low: float | None
    high: float | None
    colour: str
    hover: str


def add_upright(
    figure: go.Figure,
    row: int,
    marks: Sequence[Mark],
    *,
    line: float,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> None:
    """Draw the marks and the line that they are held against; the axis does not go beyond ``within``."""
    for mark in marks:
        if mark.low is not None and mark.high is not None:
            figure.add_scatter(
                x=[mark.name, mark.name],
                y=[mark.low, mark.high],
                mode="lines",
                hoverinfo="skip",
                line={"color": mark.colour, "width": 2},
                row=row,
                col=1,
            )
    figure.add_scatter(
        x=[mark.name for mark in marks],
        y=[mark.value for mark in marks],
        mode="markers",
        marker={"color": [mark.colour for mark in marks], "size": 8},
        hovertemplate=[f"{mark.hover}<extra></extra>" for mark in marks],
        row=row,
        col=1,
    )
    ends = [end for mark in marks for end in (mark.low, mark.value, mark.high) if end is not None] + [line]
    low, high = max(within[0], min(ends)), min(within[1], max(ends))
    room = 0.08 * (high - low or 1.0)
    figure.update_yaxes(range=[max(within[0], low - room), high + room], row=row, col=1)
    figure.add_hline(y=line, line={"color": palette.INK, "width": 1}, row=row, col=1)


def category_axis(figure: go.Figure, names: Sequence[str]) -> None:
    """Names upright below the lowest panel, with room at both ends; months as words, each year once."""
    figure.update_xaxes(type="category", showgrid=False, tickangle=0, range=[-0.6, len(names) - 0.4])
    months = [_MONTH.fullmatch(name) for name in names]
    if not all(months):
        return
    every, year, labels = math.ceil(len(names) / _MOST_MONTHS), "", []
    for month in [each for each in months[::every] if each]:
        label = calendar.month_abbr[int(month[2])]
        labels.append(label if month[1] == year else f"{label}<br>{month[1]}")
        year = month[1]
    figure.update_xaxes(tickvals=list(names[::every]), ticktext=labels)
