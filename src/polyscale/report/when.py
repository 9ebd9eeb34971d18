"""When the strategy earned more than holding: by month, hour of day and volatility.

In: a `Study`. Out: a `Section`. It describes and claims nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from polyscale.evaluation.trading.periods import PartResult
from polyscale.evaluation.trading.study import Study
from polyscale.report import palette
from polyscale.report.section import Picture, Section, Table
from polyscale.report.upright import Mark, add_upright, category_axis
from polyscale.report.wording import interval, joined, number, percent

_BPS = 1e4
_HEIGHT = 210


def when_section(study: Study) -> Section:
    """Excess over holding per day of such bars, with intervals; a table of the months."""
    breakdowns = (
        ("month", "by month", "month of the bar, UTC", study.by_month, True),
        ("part by volatility", "by volatility", "forecast volatility at the close before, in thirds",
         study.by_regime, True),
        ("hour", "by hour of day", "hour of the bar, UTC", study.by_hour, False),
    )  # fmt: skip
    level = percent(study.line.over_hold.level, 0)
    pictures = [
        Picture(
            f"What it earned more than holding, {title}",
            _figure(parts, axis),
            f"Strategy less holding, with {level} intervals. {_counted(parts, noun)}",
            half=half,
            unit="bps a day",
        )
        for noun, title, axis, parts, half in breakdowns
        if parts
    ]
    if not pictures:
        return Section("when", "When it earned", ["There are no parts to tell apart."])
    lead = (
        f"What {study.traded} earned more than holding in the bars of each part, as a rate per 24 hours of "
        "such bars. Green: the whole interval is above zero; red: below; grey: it holds zero, or there is no "
        "interval. A breakdown describes and claims nothing: of many parts some are clear of zero by chance."
    )
    return Section("when", "When it earned", [lead], pictures, [_months(study.by_month, level)])


def _figure(parts: Sequence[PartResult], axis: str) -> go.Figure:
    figure = make_subplots(rows=1, cols=1)
    marks = []
    for part in parts:
        low, high = (
            None if end is None else _BPS * end for end in (part.excess_a_day.low, part.excess_a_day.high)
        )
        hover = f"{part.name}: %{{y:.1f}} bps a day, {number(part.num_bars, 0)} bars"
        colour = palette.colour_of(low, high, 0.0)
        marks.append(Mark(part.name, _BPS * part.excess_a_day.mean, low, high, colour, hover))
    add_upright(figure, 1, marks, line=0.0)
    palette.styled(figure, _HEIGHT, right=16, left=52)
    category_axis(figure, [mark.name for mark in marks])
    figure.update_xaxes(title={"text": axis, "standoff": 4})
    figure.update_yaxes(nticks=5, tickformat=",d")
    return figure


def _counted(parts: Sequence[PartResult], noun: str) -> str:
    """``Of 24 hours, clear of zero: 2 above it and 0 below it``."""
    above = sum(part.excess_a_day.above(0.0) for part in parts)
    below = sum(part.excess_a_day.below(0.0) for part in parts)
    of = f"{len(parts)} {_plural(noun, len(parts))}"
    if not above and not below:
        return f"No interval of {of} is clear of zero."
    return f"Of {of}, clear of zero: {above} above it and {below} below it."


def _plural(noun: str, count: int) -> str:
    if count == 1:
        return noun
    return noun.replace("part", "parts", 1) if noun.startswith("part") else f"{noun}s"


def _months(parts: Sequence[PartResult], level: str) -> Table:
    rows = [
        (
            part.name.replace("-", "\N{NON-BREAKING HYPHEN}"),
            percent(part.total_return, 2, signed=True),
            number(_BPS * part.return_a_day, 1, signed=True),
            number(_BPS * part.benchmark_a_day, 1, signed=True),
            interval(part.excess_a_day, 1, factor=_BPS, signed=True),
            percent(part.in_market, 0),
            number(part.num_entries, 0),
            number(part.num_bars, 0),
        )
        for part in parts
    ]
    head = (
        "Month", "Return", "Strategy, bps a day", "Holding, bps a day", f"Excess, bps a day [{level}]",
        "In market", "Trades entered", "Bars",
    )  # fmt: skip
    reasons = list(dict.fromkeys(part.excess_a_day.reason for part in parts if part.excess_a_day.reason))
    caption = "Return is the strategy's, compounded over the month's bars in the test."
    return Table("Months", head, rows, f"{caption} No interval: {joined(reasons)}." if reasons else caption)
