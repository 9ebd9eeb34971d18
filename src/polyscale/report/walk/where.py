"""Where the network is better than its base: by month, hour of day and volatility, one symbol.

In: `WalkResults` and a symbol. Out: a `Section`.
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from polyscale.evaluation.breakdown import Part
from polyscale.report import palette
from polyscale.report.section import Picture, Section
from polyscale.report.upright import Mark, add_upright, category_axis
from polyscale.report.walk.results import WalkResults
from polyscale.report.wording import joined

_PICTURES = {  # key of the breakdown: title, what the axis is, may stand beside another
    "month": ("by month", "month of the origin, UTC", True),
    "volatility": ("by volatility", "volatility of the last day at the origin, in thirds", True),
    "hour": ("by hour of day", "hour of the origin, UTC", False),
}
_PANEL = 104  # pixels of one horizon
_WIDEST = 2.0  # ratio beyond which an axis does not go


def where_section(results: WalkResults, symbol: str) -> Section:
    """Ratios of QLIKE to the base, a panel for each horizon."""
    found = results.symbols[symbol].breakdown
    confidence = f"{100 * results.symbols[symbol].scorecard.confidence:.0f} %"
    pictures = []
    for key, (title, axis, half) in _PICTURES.items():
        panels = [
            (horizon, parts)
            for horizon, row in zip(results.horizons, found, strict=True)
            if (parts := row.get(key))
        ]
        if panels:
            caption = (
                f"{_counted(panels)} Intervals at {confidence}, cut off at 0 and {_WIDEST:.0f}. Green: the "
                "whole interval is below 1, the network is better; red: above; grey: it holds 1, or there is "
                "none."
            )
            pictures.append(
                Picture(
                    f"Where the network is better than its base, {title}",
                    _figure(panels, axis),
                    caption,
                    half=half,
                    unit="its QLIKE over the base's, a ratio",
                )
            )
    if not pictures:
        return Section(
            "where", "Where", ["The base was not among the rivals: there is nothing to hold parts against."]
        )
    lead = "A breakdown describes and claims nothing: of so many parts some are clear of 1 by chance."
    return Section("where", "Where", [lead], pictures)


def _counted(panels: Sequence[tuple[str, Sequence[Part]]]) -> str:
    """By horizon, in how many parts the network is better or worse with the whole interval."""
    better, worse = [], []
    for horizon, parts in panels:
        spans = [_span(part) for part in parts if part.ratio is not None]
        better.append(
            f"{sum(span is not None and span[1] < 1.0 for span in spans)} of {len(spans)} at {horizon}"
        )
        worse.append(sum(span is not None and span[0] > 1.0 for span in spans))
    said = f"in {joined([str(count) for count in worse])}" if any(worse) else "in none"
    return f"With the whole interval the network is better in {joined(better)}, and worse {said}."


def _figure(panels: Sequence[tuple[str, Sequence[Part]]], axis: str) -> go.Figure:
    figure = make_subplots(rows=len(panels), cols=1, shared_xaxes=True, vertical_spacing=0.12 / len(panels))
    for row, (horizon, parts) in enumerate(panels, start=1):
        _add_parts(figure, row, horizon, [part for part in parts if part.ratio is not None])
    palette.styled(figure, 52 + _PANEL * len(panels), right=44, left=44)
    for row, (horizon, _) in enumerate(panels, start=1):
        figure.add_annotation(
            x=1, xref="paper", xanchor="left", xshift=6, y=1.0, yref="y" if row == 1 else f"y{row}",
            text=f"<b>{horizon}</b>", showarrow=False, font={"color": palette.INK},
        )  # fmt: skip
    names = dict.fromkeys(part.name for _, parts in panels for part in parts if part.ratio is not None)
    category_axis(figure, list(names))
    figure.update_xaxes(title={"text": axis, "standoff": 4}, row=len(panels), col=1)
    figure.update_yaxes(nticks=5)
    return figure


def _add_parts(figure: go.Figure, row: int, horizon: str, parts: list[Part]) -> None:
    marks = []
    for part in parts:
        low, high = _span(part) or (None, None)
        colour = palette.colour_of(low, high, 1.0, more_is_better=False)
        hover = f"{horizon}, {part.name}<br>%{{y:.3f}}, {part.num_origins} origins"
        marks.append(Mark(part.name, part.ratio or 0.0, low, high, colour, hover))
    add_upright(figure, row, marks, line=1.0, within=(0.0, _WIDEST))


def _span(part: Part) -> tuple[float, float] | None:
    """The interval of the difference as one of the ratio."""
    low, high = part.difference.low, part.difference.high
    if low is None or high is None or part.baseline_mean <= 0:
        return None
    return 1 + low / part.baseline_mean, 1 + high / part.baseline_mean
