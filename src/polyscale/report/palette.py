"""One palette and one look for every figure, in a light and a dark version.

Figures are made in the light colours; the page swaps each for its dark one where the reader's system is dark.
The swap is by exact text, so a figure may use these colours only.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Shaped
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

INK: Final = "#1c2127"
MUTED: Final = "#66707c"
GRID: Final = "#e4e7eb"
SURFACE: Final = "#ffffff"
NETWORK: Final = "#2456b3"
BAND: Final = "rgba(36,86,179,0.16)"
BASELINE: Final = "#8b94a0"
HAR: Final = "#a16312"
GOOD: Final = "#0a5f4c"  # and BAD: apart in lightness and in blue, for eyes that do not tell green from red
BAD: Final = "#c43d16"
HEAT: Final = "#9dbdf0"  # the full end of a heat map: INK stays legible on all of it

DARK: Final = {
    INK: "#e8eaed",
    MUTED: "#9aa4b0",
    GRID: "#2a313a",
    SURFACE: "#171b21",
    NETWORK: "#7aa8ff",
    BAND: "rgba(122,168,255,0.20)",
    BASELINE: "#7b8592",
    HAR: "#e8a33d",
    GOOD: "#4fd6a5",
    BAD: "#ff6f52",
    HEAT: "#2f55a0",
}
# what the page alone has, beside the figures: name of the style, light, dark
GROUND: Final = ("ground", "#f6f7f9", "#101317")
WARN: Final = ("warn", "#fff3d6", "#3a2d10")
WARN_INK: Final = ("warn-ink", "#6b4700", "#f3d48c")
_STYLED: Final = {
    "surface": SURFACE,
    "ink": INK,
    "muted": MUTED,
    "line": GRID,
    "accent": NETWORK,
    "good": GOOD,
    "bad": BAD,
}
# scales in order, from the finest: one hue, so that the eye reads the order
RAMP_LIGHT: Final = ("#0d2f6e", "#2c62bd", "#6c9be4", "#a9c8f4", "#d9e6fa", "#c9d1db", "#a3adba", "#7f8a98")
RAMP_DARK: Final = ("#dbe8ff", "#9dc0ff", "#6593e8", "#3d66b5", "#274581", "#2e3846", "#475364", "#66727f")
# horizons in order, from the shortest: another hue than the scales', dark enough for a line and its label
STRANDS_LIGHT: Final = ("#2a1656", "#3d2273", "#533192", "#6742a8", "#7751b4", "#8660bd")
STRANDS_DARK: Final = ("#efe6ff", "#d9c8fc", "#c3aaf6", "#ac8dec", "#9f80e5", "#9577de")
SWAPS: Final = (
    DARK | dict(zip(RAMP_LIGHT, RAMP_DARK, strict=True)) | dict(zip(STRANDS_LIGHT, STRANDS_DARK, strict=True))
)
FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif"


def style(*, dark: bool) -> str:
    """The colours of the page as custom properties of CSS."""
    own = {name: values[dark] for name, *values in (GROUND, WARN, WARN_INK)}
    shared = {name: DARK[light] if dark else light for name, light in _STYLED.items()}
    return " ".join(f"--{name}: {colour};" for name, colour in (shared | own).items())


def ramp(count: int) -> list[str]:
    """Return colours for ordered things; beyond eight they begin again."""
    return [RAMP_LIGHT[i % len(RAMP_LIGHT)] for i in range(count)]


def strands(count: int) -> list[str]:
    """Return colours for lines in order, as far apart as they can be; beyond six they begin again."""
    num = len(STRANDS_LIGHT)
    step = (num - 1) / (count - 1) if 1 < count <= num else 1.0
    return [STRANDS_LIGHT[round(i * step) % num] for i in range(count)]


def colour_of(low: float | None, high: float | None, line: float, *, more_is_better: bool = True) -> str:
    """Green or red where the whole interval lies on one side of a line; grey where not, or without one."""
    if low is None or high is None or low <= line <= high:
        return BASELINE
    return GOOD if (low > line) is more_is_better else BAD


def styled(figure: go.Figure, height: int, *, right: int = 16, left: int = 48) -> go.Figure:
    """Give a figure the common look: no boxes, no legend, faint grid, room at the right for direct labels."""
    figure.update_layout(
        template=None,
        height=height,
        margin={"l": left, "r": right, "t": 8, "b": 36},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 12, "color": MUTED},
        hoverlabel={"bgcolor": SURFACE, "bordercolor": GRID, "font": {"color": INK, "family": FONT}},
        showlegend=False,
        dragmode=False,
    )
    axis = {
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": GRID,
        "tickcolor": GRID,
        "fixedrange": True,
        "automargin": True,
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure


def heat_map(
    shares: Shaped[np.ndarray, "y x"], x: list[str], y: list[str], text: str, hover: str
) -> go.Figure:
    """Shares as a map of percentages, written into its cells; columns named on top, rows from above."""
    percent = 100 * shares
    figure = go.Figure(
        go.Heatmap(
            z=percent,
            x=x,
            y=y,
            zmin=0,
            zmax=max(1.0, float(percent.max())),
            colorscale=[[0.0, SURFACE], [1.0, HEAT]],
            showscale=False,
            xgap=2,
            ygap=2,
            texttemplate=text,
            textfont={"color": INK},
            hovertemplate=hover,
        )
    )
    figure.update_xaxes(type="category", side="top")
    figure.update_yaxes(type="category", autorange="reversed")
    return figure


def direct_labels(
    figure: go.Figure,
    labels: list[tuple[str, float, str]],
    span: float,
    *,
    gap: float = 0.06,
    within: tuple[float, float] | None = None,
) -> None:
    """Write (text, height, colour) beside the right edge, at least ``gap`` of ``span`` apart.

    Labels that would lie on one another are moved apart, each as little as can be, and keep their order; none
    leaves ``within``, if that is given and they fit.
    """
    ordered = sorted(labels, key=lambda label: label[1])
    placed = apart(np.array([label[1] for label in ordered], dtype=np.float64), gap * span, within)
    for (text, _, colour), height in zip(ordered, placed, strict=True):
        figure.add_annotation(
            x=1,
            xref="paper",
            xanchor="left",
            xshift=6,
            y=float(height),
            yref="y",
            text=text,
            showarrow=False,
            font={"color": colour, "size": 12},
            align="left",
        )


def apart(
    heights: NDArray[np.float64], gap: float, within: tuple[float, float] | None = None
) -> NDArray[np.float64]:
    """Rising heights moved at least a gap apart, by least squares: what overlaps shares the way."""
    if heights.size == 0:
        return heights
    steps = gap * np.arange(heights.size)
    moved = isotonic_regression(heights - steps).x
    if within is not None:
        low, high = within
        moved = np.clip(moved, low, max(low, high - steps[-1]))
    return np.asarray(moved + steps)


def time_text(times: Shaped[np.ndarray, " n"]) -> list[str]:
    """Return times, datetime64 in UTC, as the figures take them, to the minute."""
    return [str(text) for text in np.datetime_as_string(times.astype("datetime64[m]"))]


def chunk_starts(num_rows: int, num_points: int) -> NDArray[np.intp]:
    """Where to cut ``num_rows`` into at most ``num_points`` runs, for np.*.reduceat."""
    return np.unique(np.linspace(0, num_rows, min(num_rows, num_points), endpoint=False).astype(np.intp))
