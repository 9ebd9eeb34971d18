"""Which scales the forecast leaned on, over time, and how the scales read each other.

In: forecasts of the test. Out: two `Section`s, weights and attention.
"""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from polyscale.market.forecast import Forecast
from polyscale.report import palette
from polyscale.report.section import Picture, Section
from polyscale.report.wording import joined, percent

_MAX_POINTS = 700


def weights_section(forecast: Forecast) -> Section:
    """Stacked weights of the scales, means over equal runs of origins."""
    starts = palette.chunk_starts(len(forecast), _MAX_POINTS)
    counts = np.diff([*starts, len(forecast)])[:, None]
    weights = np.add.reduceat(forecast.scale_weights, starts, axis=0) / counts
    times = palette.time_text(forecast.close_time[starts])
    means, colours = forecast.scale_weights.mean(axis=0), palette.ramp(len(forecast.scales))
    figure, labels, below = go.Figure(), [], 0.0
    for k, (scale, colour) in enumerate(zip(forecast.scales, colours, strict=True)):
        figure.add_scatter(
            x=times,
            y=(100 * weights[:, k]).astype(np.float32),
            stackgroup="all",
            mode="lines",
            line={"width": 0.5, "color": palette.SURFACE},
            fillcolor=colour,
            name=scale,
            hovertemplate=f"{scale} %{{y:.1f}} %<extra></extra>",
        )
        share = 100.0 * float(weights[-1, k])
        labels.append((f"<b>{scale}</b> {percent(means[k], 0)}", below + share / 2, palette.INK))
        below += share
    palette.styled(figure, 300, right=84, left=40)
    palette.direct_labels(figure, labels, 100.0, gap=0.07)
    figure.update_layout(hovermode="x unified", yaxis={"range": [0, 100], "ticksuffix": " %", "nticks": 5})
    most = int(np.argmax(means))
    caption = (
        "The weight that each scale had in the forecast, carried through the attention between scales; the "
        f"labels give its mean over the test. The forecast leaned most on {forecast.scales[most]}, with "
        f"{percent(means[most], 0)}; even weights would be {percent(1 / len(means), 0)} each."
    )
    picture = Picture("How far the forecast leans on each scale", figure, caption, unit="share in %, UTC")
    return Section("weights", "Scale weights", [], [picture])


def attention_section(forecast: Forecast) -> Section:
    """Mean attention between scales, as a heat map whose rows sum to one."""
    mean = forecast.cross_attention.mean(axis=0)
    names = list(forecast.scales)
    figure = palette.heat_map(
        mean, names, names, "%{z:.0f} %", "%{y} reads %{z:.1f} % from %{x}<extra></extra>"
    )
    palette.styled(figure, 96 + 46 * len(names), left=48)
    figure.update_xaxes(showgrid=False, title={"text": "is read", "standoff": 6})
    figure.update_yaxes(showgrid=False, title={"text": "reads", "standoff": 4})
    figure.update_layout(margin={"t": 48, "b": 8})
    read = mean.mean(axis=0)
    most = int(np.argmax(read))
    own = [f"{name} {percent(mean[i, i], 0)}" for i, name in enumerate(names)]
    caption = (
        "Each row is a scale, and says from which scales it took what it passed on, as a mean over the test; "
        f"rows sum to 100 %. Most is read from {names[most]}, {percent(read[most], 0)} on average. Of "
        f"themselves they read: {joined(own)}."
    )
    picture = Picture(
        "What each scale reads of the others",
        figure,
        caption,
        half=True,
        unit="% of the row, mean of the test",
    )
    return Section("attention", "Cross-scale attention", [], [picture])
