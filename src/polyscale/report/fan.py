"""Candles of the last days with the fan of the last forecast, and how earlier ones came out.

In: bars and forecasts of the test. Out: a `Section`. The fan opens between horizons with the root of time, as
a random walk's does; at the horizons themselves it is the forecast, nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray

from polyscale.evaluation.quantiles import central_pairs
from polyscale.market.forecast import Floats, Forecast
from polyscale.market.timeframe import MINUTE_MS, Timeframe
from polyscale.report import palette
from polyscale.report.section import Picture, Section, Table
from polyscale.report.wording import about, number, percent, price

_MAX_CANDLES = 150
_MIN_PAST, _MAX_PAST = 8, 24  # earlier forecasts that are drawn
_STEPS = 12  # points of the fan between two horizons
_CANDLE_MINUTES = (1, 3, 5, 10, 15, 30, 60, 120, 240, 360, 720, 1_440, 4_320, 10_080)
_LOW_LEVELS = (0.025, 0.1)  # of the bands that are drawn where the levels are there: 95 and 80 %


@dataclass(frozen=True, eq=False)
class Past:
    """Earlier forecasts over one horizon, and where the price went."""

    horizon: Timeframe
    end_ms: NDArray[np.int64]
    low: Floats
    high: Floats
    close: Floats

    @property
    def held(self) -> NDArray[np.bool_]:
        """Whether the price ended inside."""
        return (self.low <= self.close) & (self.close <= self.high)


def fan_section(bars: pl.DataFrame, forecast: Forecast) -> Section:
    """Draw the candles, the fan at the last origin, and the outcome of earlier fans."""
    origin = int(forecast.close_time[-1].astype("datetime64[ms]").astype(np.int64))
    longest = max(forecast.horizons).ms
    first = origin - max(3 * longest, 64 * _base_ms(bars))
    known = bars.filter(pl.col("close_time").dt.epoch("ms") <= origin)
    spot = known["close"][-1]
    pairs = _pairs(forecast.levels)
    figure = go.Figure()
    _add_candles(figure, known.filter(pl.col("close_time").dt.epoch("ms") > first))
    past = _past(known, forecast, first, pairs[-1]) if pairs else None
    if past is not None:
        _add_past(figure, past)
    _add_fan(figure, forecast, origin, spot, pairs)
    palette.styled(figure, 460, right=12, left=44)
    figure.update_layout(xaxis={"rangeslider": {"visible": False}}, yaxis={"tickformat": ",~r"})
    picture = Picture(
        "Where the price may go, and how earlier forecasts came out",
        figure,
        _caption(forecast, spot, past, pairs),
        unit="quote coin, UTC",
    )
    return Section("fan", "Last forecast", [], [picture], [_table(forecast, spot)])


def _pairs(levels: tuple[float, ...]) -> list[tuple[int, int]]:
    """Positions of the 95 and the 80 % interval, or else the widest two, widest first."""
    pairs = central_pairs(levels)
    wanted = [(a, b) for a, b in pairs if any(abs(levels[a] - low) < 1e-9 for low in _LOW_LEVELS)]
    return wanted or pairs[:2]


def _base_ms(bars: pl.DataFrame) -> int:
    if bars.height < 2:
        return MINUTE_MS
    return int(np.diff(bars["close_time"].dt.epoch("ms").to_numpy()).min())


def _add_candles(figure: go.Figure, bars: pl.DataFrame) -> None:
    """At most 150 candles, put together from more bars where needed, each at its close."""
    span = (bars["close_time"][-1] - bars["close_time"][0]).total_seconds() / 60
    least = max(span / _MAX_CANDLES, _base_ms(bars) / MINUTE_MS)
    minutes = next((m for m in _CANDLE_MINUTES if m >= least), _CANDLE_MINUTES[-1])
    candles = bars.group_by_dynamic("close_time", every=f"{minutes}m", closed="right", label="right").agg(
        pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last()
    )
    figure.add_candlestick(
        x=palette.time_text(candles["close_time"].dt.replace_time_zone(None).to_numpy()),
        **{name: candles[name].to_numpy() for name in ("open", "high", "low", "close")},
        increasing={"line": {"color": palette.BASELINE, "width": 1}, "fillcolor": palette.SURFACE},
        decreasing={"line": {"color": palette.BASELINE, "width": 1}, "fillcolor": palette.BASELINE},
        name=f"{Timeframe(minutes)} candles",
    )


def _past(known: pl.DataFrame, forecast: Forecast, first_ms: int, pair: tuple[int, int]) -> Past | None:
    """Forecasts one horizon apart, for the longest horizon that gives at least eight of them."""
    close_ms = known["close_time"].dt.epoch("ms").to_numpy()
    close = known["close"].to_numpy()
    origins = forecast.close_time.astype("datetime64[ms]").astype(np.int64)
    for i in np.argsort([-h.ms for h in forecast.horizons]):
        horizon = forecast.horizons[i]
        known_end = np.isin(origins, close_ms) & np.isin(origins + horizon.ms, close_ms)
        spaced = (origins >= first_ms) & ((origins[-1] - origins) % horizon.ms == 0)
        rows = np.flatnonzero(spaced & known_end)
        if rows.size < _MIN_PAST and (rows.size == 0 or horizon != min(forecast.horizons)):
            continue
        every = math.ceil(rows.size / _MAX_PAST)
        rows = rows[::-1][::every][::-1]
        spot, ends = close[np.searchsorted(close_ms, origins[rows])], origins[rows] + horizon.ms
        low, high = (spot * np.exp(forecast.quantiles[rows, i, k]) for k in pair)
        return Past(horizon, ends, low, high, close[np.searchsorted(close_ms, ends)])
    return None


def _add_past(figure: go.Figure, past: Past) -> None:
    times = palette.time_text(past.end_ms.astype("datetime64[ms]"))
    for held, colour, word in ((True, palette.GOOD, "inside"), (False, palette.BAD, "outside")):
        rows = np.flatnonzero(past.held == held)
        figure.add_scatter(
            x=[x for k in rows for x in (times[k], times[k], None)],
            y=[y for k in rows for y in (past.low[k], past.high[k], None)],
            mode="lines",
            line={"color": colour, "width": 2},
            opacity=0.55,
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=[times[k] for k in rows],
            y=past.close[rows],
            mode="markers",
            marker={"color": colour, "size": 6, "symbol": "circle" if held else "diamond"},
            hovertemplate=f"%{{x}}<br>%{{y:,.5~r}}, {word}<extra></extra>",
        )


def _add_fan(
    figure: go.Figure, forecast: Forecast, origin: int, spot: float, pairs: list[tuple[int, int]]
) -> None:
    order = np.argsort([h.ms for h in forecast.horizons])
    ends = np.array([0.0, *(forecast.horizons[i].ms for i in order)])
    after = np.unique(np.concatenate([np.linspace(a, b, _STEPS) for a, b in pairwise(ends)]))
    times = palette.time_text((origin + after.astype(np.int64)).astype("datetime64[ms]"))

    def line(k: int) -> Floats:
        quantiles = np.array([0.0, *forecast.quantiles[-1, order, k]])
        return spot * np.exp(np.interp(np.sqrt(after), np.sqrt(ends), quantiles))

    for low, high in pairs:
        figure.add_scatter(
            x=times + times[::-1],
            y=np.concatenate([line(high), line(low)[::-1]]),
            fill="toself",
            fillcolor=palette.BAND,
            line={"width": 0},
            hoverinfo="skip",
            mode="lines",
        )
        held = f"{100 * (forecast.levels[high] - forecast.levels[low]):.0f} %"
        _label(figure, times[-1], line(high)[-1], held)
    middle = int(np.argmin(np.abs(np.array(forecast.levels) - 0.5)))
    figure.add_scatter(
        x=times,
        y=line(middle),
        mode="lines",
        line={"color": palette.NETWORK, "width": 2},
        hovertemplate="%{x}<br>median %{y:,.5~r}<extra></extra>",
    )
    _label(figure, times[-1], line(middle)[-1], "median")
    figure.add_vline(x=times[0], line={"color": palette.MUTED, "width": 1, "dash": "dot"})


def _label(figure: go.Figure, x: str, y: float, text: str) -> None:
    figure.add_annotation(
        x=x, y=y, text=text, xanchor="left", xshift=4, showarrow=False, font={"color": palette.NETWORK}
    )


def _caption(forecast: Forecast, spot: float, past: Past | None, pairs: list[tuple[int, int]]) -> str:
    held = [f"{100 * (forecast.levels[b] - forecast.levels[a]):.0f} %" for a, b in pairs]
    text = "The fan opens at the dotted line, the last origin of the test."
    if pairs:
        last = int(np.argmax([horizon.ms for horizon in forecast.horizons]))
        low, high = (about(spot * np.exp(forecast.quantiles[-1, last, k])) for k in pairs[0])
        text += (
            f" {forecast.horizons[last]} later the price should be between {low} and {high} with {held[0]}; "
            f"blue bands are of {' and '.join(held)}."
        )
    if past is None:
        return text
    when = f"about {past.horizon} apart" if past.end_ms.size < _MAX_PAST else "evenly spread"
    return (
        f"{text} Upright bars are earlier forecasts of {past.horizon} ahead, {when}, drawn where they ended: "
        f"{int(past.held.sum())} of {past.held.size} held the price (dot, green), the others did not "
        f"(diamond, red); {held[-1]} of them should."
    )


def _table(forecast: Forecast, spot: float) -> Table:
    pairs = _pairs(forecast.levels)
    head = [
        f"{100 * (forecast.levels[b] - forecast.levels[a]):.0f} % interval of the price" for a, b in pairs
    ]
    rows = []
    for i, horizon in enumerate(forecast.horizons):
        ends = [[about(spot * np.exp(forecast.quantiles[-1, i, k])) for k in pair] for pair in pairs]
        rows.append(
            (
                str(horizon),
                *(f"{low} – {high}" for low, high in ends),
                percent(forecast.prob_up[-1, i]),
                percent(forecast.volatility[-1, i], 2),
                number(forecast.volatility[-1, i] / forecast.base_volatility[-1, i], 2),
            )
        )
    when = palette.time_text(forecast.close_time[-1:])[0].replace("T", " ")
    return Table(
        f"Forecast of {when} UTC, at a price of {price(spot)}",
        ("Ahead", *head, "Probability of up", "Volatility", "Volatility / base"),
        rows,
        "Volatility is the standard deviation of the return over the horizon; beside it, by what factor the "
        "network moved the base forecast.",
    )
