"""Dots and whiskers around the value at which two things are alike, with room at both ends.

In: `Dot`s and that value. Out: a figure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from polyscale.evaluation.bootstrap import Interval
from polyscale.report.baselines import Dot, dot_and_whisker


def held_against(dots: Sequence[Dot], line: int) -> go.Figure:
    """Rows of dots around a line; no whisker touches the edge."""
    figure = dot_and_whisker(list(dots), line=line)
    ends = [end for dot in dots for end in (dot.value.mean, dot.value.low, dot.value.high) if end is not None]
    low, high = min([*ends, line]), max([*ends, line])
    room = 0.05 * (high - low) or 0.1
    figure.update_xaxes(range=[low - room, high + room])
    return figure


def span_of(values: Sequence[float]) -> Interval:
    """The mean of some symbols, from the least to the greatest; one alone spans nothing."""
    mean = sum(values) / len(values)
    low, high = (min(values), max(values)) if len(values) > 1 else (None, None)
    return Interval(mean, low, high, math.nan)
