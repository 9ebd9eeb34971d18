"""Whether the forecast keeps its word: quantiles, coverage, probabilities of up.

In: a `Scorecard`. Out: a `Section`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from polyscale.evaluation.scorecard import HorizonScore, Scorecard
from polyscale.report import palette
from polyscale.report.section import Picture, Section, Table
from polyscale.report.wording import ABSENT, interval, joined, number, percent

_LEAD = (
    "A calibrated forecast is right as often as it says: a tenth of the returns lie below its 10 % quantile, "
    "and of the hours to which it gave 55 % for up, 55 % went up."
)


@dataclass(frozen=True)
class Line:
    """One horizon's dots: what was said, and what came, both as shares."""

    name: str
    said: Sequence[float]
    came: Sequence[float]


def calibration_section(scorecard: Scorecard) -> Section:
    """Quantile levels, central intervals and the reliability of the direction."""
    judged = [score for score in scorecard.horizons if score.quantiles is not None]
    if not judged:
        return Section("calibration", "Calibration", ["No horizon could be judged."])
    pictures = [quantile_picture([quantile_line(score) for score in judged])]
    directed = [line for score in judged if (line := reliability_line(score)) is not None]
    if directed:
        pictures.append(reliability_picture(directed))
    return Section("calibration", "Calibration", [_LEAD], pictures, _tables(scorecard, judged))


def quantile_line(score: HorizonScore) -> Line:
    """Levels of the quantiles, and shares of returns at or below them."""
    shares = score.quantiles.levels if score.quantiles else ()
    return Line(str(score.horizon), [share.level for share in shares], [share.observed for share in shares])


def reliability_line(score: HorizonScore) -> Line | None:
    """Probabilities of up by tenths of the origins, and how often it came; None without one."""
    if score.direction is None or not score.direction.reliability:
        return None
    bins = score.direction.reliability
    return Line(str(score.horizon), [b.mean_probability for b in bins], [b.observed_frequency for b in bins])


def quantile_picture(lines: Sequence[Line]) -> Picture:
    """How far shares of returns are from the levels of their quantiles."""
    return Picture(
        "Do returns fall below each quantile as often as said?",
        _quantile_figure(lines),
        f"{_farthest(lines)} Zero is perfect. Above on the left and below on the right is a forecast too "
        "narrow, the other way round one too wide.",
        half=True,
        unit="share less level, points",
    )


def reliability_picture(lines: Sequence[Line]) -> Picture:
    """How often up came where it was given a probability."""
    sided = [line for line in lines if max(line.said) > min(line.said)]
    flat = [line.name for line in lines if line not in sided]
    caption = (
        "Each dot is a tenth of the origins; on the dotted line the probability is right. A flat row "
        "of dots is a forecast that knows no direction."
    )
    if flat:
        caption += f" Not drawn, for its probability never varies: {joined(flat)}."
    return Picture(
        "Does up come as often as its probability says?",
        _reliability_figure(sided),
        caption,
        half=True,
        unit="%",
    )


def _farthest(lines: Sequence[Line]) -> str:
    """Which quantile is farthest from its level."""
    gaps = [
        (came - said, said, line.name)
        for line in lines
        for said, came in zip(line.said, line.came, strict=True)
    ]
    gap, level, name = max(gaps, key=lambda each: abs(each[0]))
    off = number(100 * gap, 1, signed=True)
    return f"Farthest off is the {100 * level:g} % quantile at {name}, by {off} points."


def _quantile_figure(lines: Sequence[Line]) -> go.Figure:
    figure, labels, values = go.Figure(), [], [0.0]
    for line, colour in zip(lines, palette.strands(len(lines)), strict=True):
        gaps = [100 * (came - said) for said, came in zip(line.said, line.came, strict=True)]
        figure.add_scatter(
            x=[100 * said for said in line.said],
            y=gaps,
            mode="lines+markers",
            line={"color": colour, "width": 2},
            marker={"size": 6, "color": colour},
            hovertemplate=f"{line.name}: %{{x:.1f}} % quantile, %{{y:+.1f}} points<extra></extra>",
        )
        labels.append((f"<b>{line.name}</b>", gaps[-1] if gaps else 0.0, colour))
        values += gaps
    palette.styled(figure, 300, right=44, left=44)
    palette.direct_labels(figure, labels, (max(values) - min(values)) or 1.0, gap=0.09)
    figure.add_hline(y=0, line={"color": palette.MUTED, "width": 1, "dash": "dot"})
    figure.update_xaxes(range=[0, 100], title={"text": "quantile level, %", "standoff": 4})
    figure.update_yaxes(nticks=6)
    return figure


def _reliability_figure(lines: Sequence[Line]) -> go.Figure:
    figure, said, came = go.Figure(), [50.0], [50.0]
    ends: list[tuple[float, float, str, str]] = []
    for line, colour in zip(lines, palette.strands(len(lines)), strict=True):
        x = [100 * share for share in line.said]
        y = [100 * share for share in line.came]
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines+markers",
            line={"color": colour, "width": 1},
            marker={"size": 8, "color": colour},
            hovertemplate=f"{line.name}: said %{{x:.1f}} %, came %{{y:.1f}} %<extra></extra>",
        )
        ends.append((y[-1], x[-1], line.name, colour))
        said += x
        came += y
    low, high = max(0.0, min(said) - 1), min(100.0, max(said) + 1)
    span = max(high, *came) - min(low, *came)
    ends.sort()
    placed = palette.apart(np.array([end[0] for end in ends]), 0.07 * span)
    for height, (_, last, name, colour) in zip(placed, ends, strict=True):
        figure.add_annotation(
            x=last, y=float(height), text=f"<b>{name}</b>", xanchor="left", xshift=8, showarrow=False,
            font={"color": colour},
        )  # fmt: skip
    figure.add_shape(
        type="line",
        x0=low,
        x1=high,
        y0=low,
        y1=high,
        line={"color": palette.MUTED, "width": 1, "dash": "dot"},
    )
    palette.styled(figure, 300, right=44, left=44)
    figure.update_xaxes(range=[low, high], title={"text": "probability of up, %", "standoff": 4}, nticks=6)
    figure.update_yaxes(range=[min(low, min(came) - 2), max(high, max(came) + 2)], nticks=6)
    return figure


def _tables(scorecard: Scorecard, judged: list[HorizonScore]) -> list[Table]:
    level = f"{100 * scorecard.confidence:.0f} %"
    return [
        Table(
            "Central intervals",
            ("Ahead", "Should hold", f"Held, % [{level}]", "Base held"),
            [row for score in judged for row in _coverage_rows(score)],
        ),
        Table(
            "Quantiles",
            ("Ahead", f"Pinball loss, bps [{level}]", "Against base", f"Difference, bps [{level}]"),
            [_pinball_row(score) for score in judged],
            "Mean over the quantiles, in basis points of return; smaller is better. A negative difference "
            "says that the network is better than the base.",
        ),
        Table(
            "Direction",
            ("Ahead", f"Right, % [{level}]", "Best constant", f"Brier score [{level}]", "Calibration error"),
            [_direction_row(score) for score in judged],
            "The best constant says always up, or always down; a coin's Brier score is 0.25. The calibration "
            "error is the mean gap between the probability and how often it came.",
        ),
    ]


def _coverage_rows(score: HorizonScore) -> list[tuple[str, ...]]:
    found = score.quantiles.coverage if score.quantiles else ()
    return [
        (
            str(score.horizon) if i == 0 else "",
            percent(coverage.nominal, 0),
            interval(coverage.observed, 1, factor=100.0),
            percent(coverage.base),
        )
        for i, coverage in enumerate(found)
    ]


def _pinball_row(score: HorizonScore) -> tuple[str, ...]:
    assert score.quantiles is not None
    ratio, paired = score.quantiles.ratio, score.quantiles.difference
    return (
        str(score.horizon),
        interval(score.quantiles.pinball, 3, factor=1e4),
        percent(None if ratio is None else ratio - 1, signed=True),
        interval(paired.interval if paired else None, 3, factor=1e4, signed=True),
    )


def _direction_row(score: HorizonScore) -> tuple[str, ...]:
    direction = score.direction
    if direction is None:
        return (str(score.horizon), *[ABSENT] * 4)
    return (
        str(score.horizon),
        interval(direction.hit_rate, 1, factor=100.0),
        percent(direction.constant_hit_rate),
        interval(direction.brier),
        percent(direction.calibration_error),
    )
