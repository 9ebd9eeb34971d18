"""How training went: losses by epoch.

In: the history, one mapping per epoch. Out: a `Section`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from polyscale.report import palette
from polyscale.report.section import Picture, Section

_TEXT = {"training": palette.MUTED, "validation": palette.NETWORK}  # beside a line
_LINES = (("train_loss", "training", palette.BASELINE), ("val_loss", "validation", palette.NETWORK))


def training_section(history: Sequence[Mapping[str, object]]) -> Section:
    """Loss of training and of validation rows by epoch."""
    if not history:
        return Section("training", "Training", ["There is no history of a training in this run."])
    figure, labels, best = go.Figure(), [], None
    values: list[float] = []
    for key, name, colour in _LINES:
        known = [(_number(row.get("epoch")), _number(row.get(key))) for row in history]
        points = [(x, y) for x, y in known if x is not None and y is not None]
        if not points:
            continue
        epochs, losses = zip(*points, strict=True)
        figure.add_scatter(
            x=epochs,
            y=losses,
            mode="lines+markers",
            line={"color": colour, "width": 2},
            marker={"size": 5},
            hovertemplate=f"epoch %{{x}}: {name} %{{y:.4f}}<extra></extra>",
        )
        labels.append((f"<b>{name}</b>", losses[-1], _TEXT[name]))
        values += losses
        best = min(points, key=lambda point: point[1]) if key == "val_loss" else best
    palette.styled(figure, 280, right=84, left=52)
    palette.direct_labels(figure, labels, max(values, default=1) - min(values, default=0) or 1.0, gap=0.09)
    figure.update_xaxes(title={"text": "epoch", "standoff": 4}, nticks=10, tickformat="d")
    caption = (
        "The weighted sum of the losses of volatility, quantiles and direction, each in units of what the "
        "base forecast alone scores on the training rows."
    )
    if best is not None:
        figure.add_scatter(
            x=[best[0]],
            y=[best[1]],
            mode="markers",
            hoverinfo="skip",
            marker={"size": 13, "color": "rgba(0,0,0,0)", "line": {"color": palette.INK, "width": 1.5}},
        )
        caption += f" The validation loss was least after epoch {best[0]:.0f} (ring), at {best[1]:.4f}."
    return Section(
        "training", "Training", [], [Picture("Loss by epoch", figure, caption, unit="smaller is better")]
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
