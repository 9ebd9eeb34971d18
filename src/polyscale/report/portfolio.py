"""What a portfolio held: weights of its symbols over time, and what each horizon wanted of them.

In: a `Portfolio`. Out: two `Section`s.
"""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from polyscale.report import palette
from polyscale.report.section import Picture, Section, Table
from polyscale.report.wording import number, percent
from polyscale.strategy.combine import at_closes
from polyscale.strategy.portfolio import Portfolio, told_apart

_NOTHING = (
    "Nothing was held: no target was ever larger than the band within which a weight is let be, or no sleeve "
    "had a signal."
)
Floats = NDArray[np.float64]
# Shapes: t closes, k sleeves, n symbols.
_MAX_POINTS = 400  # of one symbol
_ALL_POINTS = 2_400  # of all symbols together
_PANEL, _LOW_PANEL, _MANY = 74, 46, 6  # pixels of one symbol; where there are more than so many


def weights_over_time_section(portfolio: Portfolio) -> Section:
    """Target weight of every symbol, one panel each, all on one scale."""
    symbols, weights_tn = list(portfolio.positions), held_weights(portfolio)
    gross = np.abs(weights_tn).sum(axis=1)
    if not gross.any():
        return Section("weights-held", "Weights", [_NOTHING])
    starts = palette.chunk_starts(len(weights_tn), min(_MAX_POINTS, max(60, _ALL_POINTS // len(symbols))))
    times = palette.time_text(portfolio.close_time[starts])
    counts = np.diff([*starts, len(weights_tn)])[:, None]
    thin_tn = 100.0 * np.add.reduceat(weights_tn, starts, axis=0) / counts
    low, high = min(0.0, float(thin_tn.min())), max(0.0, float(thin_tn.max()))
    room = 0.08 * (high - low) or 1.0
    num = len(symbols)
    figure = make_subplots(rows=num, cols=1, shared_xaxes=True, vertical_spacing=0.14 / num)
    for n, symbol in enumerate(symbols):
        figure.add_scatter(
            x=times,
            y=thin_tn[:, n].astype(np.float32),
            mode="lines",
            line={"color": palette.NETWORK, "width": 1.5},
            fill="tozeroy",
            fillcolor=palette.BAND,
            hovertemplate=f"{symbol} %{{x}}: %{{y:.1f}} %<extra></extra>",
            row=n + 1,
            col=1,
        )
        figure.add_annotation(
            text=f"<b>{symbol}</b><br>{percent(np.abs(weights_tn[:, n]).mean(), 1)}",
            x=1, xref="paper", xanchor="left", xshift=6, y=(low + high) / 2, yref=_axis(n),
            showarrow=False, align="left", font={"color": palette.INK},
        )  # fmt: skip
        figure.add_hline(y=0, line={"color": palette.MUTED, "width": 1}, row=n + 1, col=1)
    each = _PANEL if num <= _MANY else _LOW_PANEL
    longest = max(len(symbol) for symbol in symbols)
    palette.styled(figure, 44 + each * num, right=22 + 8 * min(longest, 14), left=48)
    ticks = _ticks(low, high)
    figure.update_yaxes(
        tickvals=ticks,
        ticktext=[f"{tick:g} %".replace("-", "\N{MINUS SIGN}") for tick in ticks],
        range=[low - room, high + room],
    )
    caption = (
        "Above zero long, below short; all symbols on one scale, means over runs of closes. Under each name "
        f"its mean absolute weight. Together they held {percent(gross.mean(), 1)} of the account in the mean "
        f"and {percent(gross.max(), 1)} at most."
    )
    picture = Picture("Target weight of each symbol", figure, caption, unit="% of the account, UTC")
    return Section("weights-held", "Weights", [], [picture])


def sleeves_section(portfolio: Portfolio) -> Section:
    """Mean absolute target of each sleeve in each symbol, before and after sharing out and limits."""
    wanted_kn = np.abs(portfolio.wanted).mean(axis=0)
    held_n = np.abs(held_weights(portfolio)).mean(axis=0)
    symbols, sleeves = list(portfolio.positions), list(told_apart(portfolio.sleeves))
    figure = _map(wanted_kn, sleeves, symbols)
    most = int(np.argmax(wanted_kn.sum(axis=1)))
    asked = number(100.0 * float(wanted_kn[most].sum()), 1, unit=" %")
    caption = (
        "Mean absolute target of each horizon's sleeve, a share of the account as if each symbol were alone: "
        "before the account is shared out among symbols, sleeves cancel, and limits cut. Over all symbols "
        f"{sleeves[most]} wanted most, {asked}."
    )
    rows = [
        (symbol, *(percent(wanted) for wanted in wanted_kn[:, n]), percent(held_n[n]))
        for n, symbol in enumerate(symbols)
    ]
    rows.append(("All", *(percent(wanted) for wanted in wanted_kn.sum(axis=1)), percent(held_n.sum())))
    table = Table(
        "Mean absolute target, by horizon wanted and by symbol held",
        ("Symbol", *(f"{name} wanted" for name in sleeves), "Held"),
        rows,
        "Held is after sharing out, limits and the band within which a weight is let be.",
    )
    picture = Picture(
        "What each horizon wanted of each symbol",
        figure,
        caption,
        half=True,
        unit="mean target, % of the account",
    )
    return Section("sleeves", "Exposure by horizon", [], [picture], [table])


def held_weights(portfolio: Portfolio) -> Floats:
    """[T, N] targets in force at the portfolio's closes."""
    return np.column_stack([at_closes(each, portfolio.close_time) for each in portfolio.positions.values()])


def _map(wanted_kn: Floats, sleeves: list[str], symbols: list[str]) -> go.Figure:
    hover = "%{y}, %{x}: %{z:.2f} %<extra></extra>"
    figure = palette.heat_map(wanted_kn.T, sleeves, symbols, "%{z:.1f} %", hover)
    palette.styled(figure, 60 + 34 * len(symbols), left=64)
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(showgrid=False)
    figure.update_layout(margin={"t": 30, "b": 8})
    return figure


def _ticks(low: float, high: float) -> list[float]:
    """Zero, and a round number on the side that goes further; on the other too where it goes as far."""
    far = high if high >= -low else low
    size = 10.0 ** math.floor(math.log10(abs(far)))
    tick = max(step * size for step in (1, 2, 5) if step * size <= abs(far))
    return [each for each in (-tick, 0.0, tick) if low <= each <= high]


def _axis(n: int) -> str:
    return "y" if n == 0 else f"y{n + 1}"
