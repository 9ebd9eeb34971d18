"""The network beside the baselines: losses of volatility with intervals, and paired differences.

In: a `Scorecard`. Out: a `Section`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from polyscale.evaluation.bootstrap import Interval
from polyscale.evaluation.scorecard import HorizonScore, Scorecard
from polyscale.report import palette
from polyscale.report.section import Picture, Section, Table
from polyscale.report.wording import ABSENT, bounds, interval, joined, number, p_value, percent

_COLOURS = {"network": palette.NETWORK, "base": palette.MUTED, "log-HAR": palette.HAR}
_LEAD = (
    "QLIKE is the loss of a volatility forecast; 0 is perfect, smaller is better. The base is the rolling "
    "regression that the network starts from, log-HAR the reference model of the literature. Whiskers are "
    "block-bootstrap intervals. Whether the network is better is read from the paired differences: losses of "
    "two forecasts on the same hours go up and down together, so their single intervals may overlap."
)


@dataclass(frozen=True)
class Dot:
    """One row of a dot-and-whisker picture."""

    group: str
    name: str
    value: Interval
    colour: str
    text: str = ""  # written at the right


def baselines_section(scorecard: Scorecard) -> Section:
    """Dots and whiskers of losses and of differences, and the same as a table."""
    judged = [score for score in scorecard.horizons if score.volatility is not None]
    if not judged:
        return Section("baselines", "Baselines", ["No horizon could be judged."])
    level = f"{100 * scorecard.confidence:.0f} %"
    losses = Picture(
        "Loss of each forecast of volatility",
        dot_and_whisker([dot for score in judged for dot in _losses(score)]),
        f"{_best(judged)} Means over the judged origins, with {level} intervals.",
        half=True,
        unit="QLIKE, smaller is better",
    )
    differences = Picture(
        "Is the network better than each baseline?",
        dot_and_whisker([dot for score in judged for dot in _differences(score)], unit=" %", line=0),
        f"{_counted(judged)} Paired differences with {level} intervals; left of zero the network is better. "
        "Green: the whole interval is; red: it is on the other side; grey: it holds zero.",
        half=True,
        unit="difference, % of its QLIKE",
    )
    return Section("baselines", "Baselines", [_LEAD], [losses, differences], _tables(scorecard, judged))


def _best(judged: list[HorizonScore]) -> str:
    """Whose mean loss is the least, and at which horizons."""
    least: dict[str, list[str]] = {}
    for score in judged:
        assert score.volatility is not None
        means = {"the network": score.volatility.qlike.mean}
        means |= {b.name: b.qlike.mean for b in score.volatility.baselines}
        least.setdefault(min(means, key=lambda name: means[name]), []).append(str(score.horizon))
    return f"Least loss: {'; '.join(f'{name} at {joined(horizons)}' for name, horizons in least.items())}."


def _counted(judged: list[HorizonScore]) -> str:
    """How many differences are clear of zero on either side."""
    found = [b.difference.interval for s in judged if s.volatility for b in s.volatility.baselines]
    better, worse = sum(each.below(0.0) for each in found), sum(each.above(0.0) for each in found)
    said = f"the network is better in {better} and worse in {worse} with the whole interval"
    return f"Of {len(found)} pairs {said}."


def dot_and_whisker(dots: Sequence[Dot], *, unit: str = "", line: int | None = None) -> go.Figure:
    """Rows of dots under bold group heads, a line at what they are held against; without it from zero on.

    A row without an interval has a dot alone. No whisker touches the edge.
    """
    figure, ticks, labels, row, group = go.Figure(), [], [], 0.0, ""
    for dot in dots:
        if dot.group != group:
            row, group = row + 1.4 * bool(group), dot.group
            ticks.append(row)
            labels.append(f"<b>{group}</b>")
        row += 1.0
        ticks.append(row)
        labels.append(dot.name)
        _add_dot(figure, dot, row, unit)
    written = max((len(dot.text) for dot in dots), default=0)
    right = 17 + 7 * written if written else 20
    palette.styled(figure, int(60 + 25 * (row + 1)), right=right, left=76)
    figure.update_yaxes(tickvals=ticks, ticktext=labels, range=[row + 0.7, -0.7], showgrid=False)
    figure.update_xaxes(ticksuffix=unit, nticks=6, range=_range(dots, line))
    if line is not None:
        figure.add_vline(x=line, line={"color": palette.INK, "width": 1})
    return figure


def _range(dots: Sequence[Dot], line: int | None) -> list[float]:
    """From the least to the greatest, the line or zero among them, with room; losses begin at zero itself."""
    ends = [end for dot in dots for end in (dot.value.mean, dot.value.low, dot.value.high) if end is not None]
    low, high = min([*ends, line or 0]), max([*ends, line or 0])
    room = 0.05 * (high - low) or 0.1
    return [low if line is None and low == 0 else low - room, high + room]


def _add_dot(figure: go.Figure, dot: Dot, row: float, unit: str) -> None:
    value = dot.value
    if value.low is not None and value.high is not None:
        figure.add_scatter(
            x=[value.low, value.high],
            y=[row, row],
            mode="lines",
            hoverinfo="skip",
            line={"color": dot.colour, "width": 2},
        )
    figure.add_scatter(
        x=[value.mean],
        y=[row],
        mode="markers",
        marker={"color": dot.colour, "size": 9},
        hovertemplate=f"{dot.group}, {dot.name}<br>%{{x:.4~g}}{unit}<extra></extra>",
    )
    if dot.text:
        figure.add_annotation(
            x=1,
            xref="paper",
            xanchor="left",
            xshift=6,
            y=row,
            text=dot.text,
            showarrow=False,
            font={"color": palette.INK},
        )


def _losses(score: HorizonScore) -> list[Dot]:
    assert score.volatility is not None
    group = f"{score.horizon} ahead"
    rows = [("network", score.volatility.qlike)] + [(b.name, b.qlike) for b in score.volatility.baselines]
    return [Dot(group, name, value, _COLOURS.get(name, palette.BASELINE)) for name, value in rows]


def _differences(score: HorizonScore) -> list[Dot]:
    assert score.volatility is not None
    dots = []
    for b in score.volatility.baselines:
        scale = 100.0 / b.qlike.mean if b.qlike.mean > 0 else 0.0
        found = b.difference.interval
        low, high = (None if bound is None else scale * bound for bound in (found.low, found.high))
        relative = Interval(scale * found.mean, low, high, found.level, found.reason)
        colour = (
            palette.GOOD if relative.below(0.0) else palette.BAD if relative.above(0.0) else palette.MUTED
        )
        dots.append(Dot(f"{score.horizon} ahead", f"vs {b.name}", relative, colour))
    return dots


def _tables(scorecard: Scorecard, judged: list[HorizonScore]) -> list[Table]:
    rows, pairs = [], []
    for score in judged:
        assert score.volatility is not None
        counts = (number(score.num_origins, 0), number(score.num_independent, 0))
        own = (interval(score.volatility.qlike), number(score.volatility.r2, 3))
        rows.append((str(score.horizon), "network", *own, *counts))
        for i, b in enumerate(score.volatility.baselines):
            rows.append(("", b.name, interval(b.qlike), number(b.r2, 3), "", ""))
            change = ABSENT if b.ratio is None else percent(b.ratio - 1, 1, signed=True)
            found = b.difference
            pairs.append(
                (
                    str(score.horizon) if i == 0 else "",
                    f"network − {b.name}",
                    interval(found.interval, signed=True),
                    change,
                    bounds(found.adjusted, signed=True),
                    p_value(found.test.p_two_sided),
                )
            )
    level, adjusted = 100 * scorecard.confidence, 100 * scorecard.adjusted_confidence
    return [
        Table(
            "QLIKE of volatility",
            ("Ahead", "Forecast", f"QLIKE [{level:.0f} %]", "R² of log variance", "Origins", "Independent"),
            rows,
            "Independent is the number of labels that do not overlap; a claim needs "
            f"{scorecard.min_independent}.",
        ),
        Table(
            "Paired differences of QLIKE",
            (
                "Ahead",
                "Pair",
                f"Difference [{level:.0f} %]",
                "Relative",
                f"[{adjusted:.1f} %]",
                "DM p",
            ),
            pairs,
            f"Negative: the network is better. The wider intervals hold together with {level:.0f} %. DM is "
            "the two-sided Diebold-Mariano test with the HLN correction; it reckons with dependence over 1.5 "
            "horizons, the intervals over at least three: they are the stricter judge.",
        ),
    ]
