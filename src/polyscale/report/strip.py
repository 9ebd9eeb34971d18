"""Where one number stands among many draws: a band, its median, and a dot for what happened.

In: a `Strip` per number. Out: a figure, one panel below the other, each with an axis of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from polyscale.evaluation.trade_order import Spread
from polyscale.report import palette
from polyscale.report.wording import number

_PANEL, _GAP = 54, 36  # pixels of one strip, and between two: the axis of the upper one


@dataclass(frozen=True)
class Strip:
    """A number as it came out, and its quantiles at 5, 50 and 95 % over the draws."""

    name: str
    observed: float
    draws: Spread
    factor: float = 1.0  # 100 for per cent
    unit: str = ""
    digits: int = 2


def strips(rows: Sequence[Strip]) -> go.Figure:
    """One panel per strip."""
    inside = _PANEL * len(rows) + _GAP * (len(rows) - 1)
    figure = make_subplots(rows=len(rows), cols=1, vertical_spacing=_GAP / inside)
    for row, strip in enumerate(rows, start=1):
        _add(figure, row, strip)
    palette.styled(figure, inside + 34, right=14, left=14)
    figure.update_layout(margin={"t": 8, "b": 26})
    figure.update_yaxes(visible=False, range=[-1, 2.2])
    figure.update_xaxes(nticks=5)
    return figure


def _add(figure: go.Figure, row: int, strip: Strip) -> None:
    low, median, high = (
        strip.factor * end for end in (strip.draws.low, strip.draws.median, strip.draws.high)
    )
    observed = strip.factor * strip.observed
    at = {"row": row, "col": 1}
    figure.add_scatter(
        x=[low, high],
        y=[0, 0],
        mode="lines",
        hoverinfo="skip",
        line={"color": palette.BAND, "width": 16},
        **at,
    )
    ends = [number(end, strip.digits, unit=strip.unit) for end in (low, median, high)]
    figure.add_scatter(
        x=[median],
        y=[0],
        mode="markers",
        marker={"symbol": "line-ns", "size": 16, "line": {"color": palette.MUTED, "width": 2}},
        hovertemplate=f"median {ends[1]}, 90 % from {ends[0]} to {ends[2]}<extra></extra>",
        **at,
    )
    written = number(observed, strip.digits, unit=strip.unit)
    figure.add_scatter(
        x=[observed],
        y=[0],
        mode="markers",
        marker={"color": palette.NETWORK, "size": 12, "line": {"color": palette.SURFACE, "width": 2}},
        hovertemplate=f"this test {written}<extra></extra>",
        **at,
    )
    figure.update_xaxes(ticksuffix=strip.unit, range=_range([low, median, high, observed]), **at)
    axis = "" if row == 1 else str(row)
    figure.add_annotation(
        text=f"<b>{strip.name}</b>",
        x=0,
        xref="paper",
        xanchor="left",
        y=1.7,
        yref=f"y{axis}",
        showarrow=False,
        font={"color": palette.INK},
    )
    figure.add_annotation(
        text=f"<b>{written}</b>",
        x=1,
        xref="paper",
        xanchor="right",
        y=1.7,
        yref=f"y{axis}",
        showarrow=False,
        font={"color": palette.NETWORK},
    )


def _range(ends: list[float]) -> list[float]:
    low, high = min(ends), max(ends)
    room = 0.08 * (high - low) or max(0.1 * abs(high), 0.1)
    return [low - room, high + room]
