"""What an account risked: tails of its days, time under water, exposure; beside buying and holding.

In: two backtests on the same bars. Out: a `Section`. It reads the ledger and nothing else; a day is that of
UTC, its return that of the last close on the last close of the day before.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from polyscale.backtesting import risk
from polyscale.backtesting.measures import Absent, Measure
from polyscale.backtesting.result import BacktestResult
from polyscale.evaluation.trading.by_period import last_bars
from polyscale.market.timeframe import Timeframe
from polyscale.report import palette
from polyscale.report.section import Picture, Section, Table
from polyscale.report.wording import joined, number, percent

Floats = NDArray[np.float64]
_DAY = Timeframe(1_440)
_MAX_POINTS = 500


def risk_section(strategy: BacktestResult, hold: BacktestResult) -> Section:
    """A table of risks of both accounts, and a picture of their exposure."""
    rows: list[tuple[str, ...]] = []
    reasons: dict[str, list[str]] = {}
    accounts = (strategy, hold)
    for name, write, measure in _MEASURES:
        found = [measure(account) for account in accounts]
        rows.append((name, *(write(None if isinstance(each, Absent) else each) for each in found)))
        for why, who in _absent(found).items():
            reasons.setdefault(why, []).append(f"{name}{who}")
    caption = (
        "Losses are positive, shares of equity. Value at risk and shortfall are those of the days that were."
    )
    notes = [f"{joined(names)}: {why}." for why, names in reasons.items()]
    table = Table(
        "Risk of the accounts",
        ("Measure", "Strategy", "Buy and hold"),
        rows,
        " ".join([caption, *(["A dash is a number that does not exist.", *notes] if notes else [])]),
    )
    return Section("risk", "Risk", [_lead(strategy, hold)], [_exposure_picture(strategy, hold)], [table])


def _lead(strategy: BacktestResult, hold: BacktestResult) -> str:
    days = [risk.longest_drawdown(daily_equity(each)) for each in (strategy, hold)]
    deepest = [percent(each.max_drawdown) for each in (strategy, hold)]
    return (
        f"At its deepest the strategy was {deepest[0]} below its height, buying and holding {deepest[1]}; "
        f"the longest stay below a height took {_days(days[0])} and {_days(days[1])} of "
        f"{number(len(daily_equity(strategy)) - 1, 0)} days tested."
    )


def _absent(found: list[Measure]) -> dict[str, str]:
    """Reasons, and of which account where it is not both."""
    whys = [each.reason if isinstance(each, Absent) else "" for each in found]
    if whys[0] == whys[1]:
        return {whys[0]: ""} if whys[0] else {}
    return {why: f" of {who}" for why, who in zip(whys, ("the strategy", "holding"), strict=True) if why}


def daily_equity(result: BacktestResult) -> Floats:
    """Equity at the start and at the last close of each day, [D + 1]."""
    equity = result.ledger["equity"].to_numpy()
    return np.append(result.initial_capital, equity[last_bars(result.grid, _DAY)])


def _share_in_market(result: BacktestResult) -> float:
    """Closes with a position, of all but the first: nothing is filled before it."""
    return float((result.ledger["gross"].to_numpy()[1:] != 0.0).mean())


def exposures(result: BacktestResult) -> tuple[Floats, Floats]:
    """Gross and net value at each close, shares of equity; 0 where the equity is gone."""
    ledger = result.ledger
    equity = ledger["equity"].to_numpy()
    gross, net = (
        np.divide(ledger[name].to_numpy(), equity, out=np.zeros(equity.size), where=equity > 0)
        for name in ("gross", "position_value")
    )
    return gross, net


def _days(count: int) -> str:
    return f"{number(count, 0)} day{'s' * (count != 1)}"


def _loss(value: float | None) -> str:
    return percent(value, 2)


def _whole(value: float | None) -> str:
    return number(value, 0)


_MEASURES: tuple[tuple[str, Callable[[float | None], str], Callable[[BacktestResult], Measure]], ...] = (
    ("Value at risk of a day, 95 %", _loss, lambda r: risk.value_at_risk(daily_equity(r), 0.05)),
    ("Value at risk of a day, 99 %", _loss, lambda r: risk.value_at_risk(daily_equity(r), 0.01)),
    ("Expected shortfall of a day, 95 %", _loss, lambda r: risk.expected_shortfall(daily_equity(r), 0.05)),
    ("Expected shortfall of a day, 99 %", _loss, lambda r: risk.expected_shortfall(daily_equity(r), 0.01)),
    ("Volatility a year, of days", percent, lambda r: risk.annual_volatility(daily_equity(r), _DAY)),
    ("Tail ratio of days", number, lambda r: risk.tail_ratio(daily_equity(r))),
    (
        "Largest drawdown, of closes",
        _loss,
        lambda r: float(risk.drawdowns(r.ledger["equity"].to_numpy()).max()),
    ),
    ("Longest drawdown, days under water", _whole, lambda r: risk.longest_drawdown(daily_equity(r))),
    ("Time in market", percent, _share_in_market),
    ("Gross exposure, mean", percent, lambda r: float(exposures(r)[0][1:].mean())),
    ("Gross exposure, largest", percent, lambda r: float(exposures(r)[0].max())),
    ("Net exposure, mean", lambda v: percent(v, signed=True), lambda r: float(exposures(r)[1][1:].mean())),
)


def _exposure_picture(strategy: BacktestResult, hold: BacktestResult) -> Picture:
    """Means over equal runs of bars: gross above, net inside it, holding beside them."""
    gross, net = exposures(strategy)
    of_hold = exposures(hold)[0]
    starts = palette.chunk_starts(gross.size, _MAX_POINTS)
    times = palette.time_text(strategy.grid.close_ms[starts].astype("datetime64[ms]"))
    figure, labels, ends = go.Figure(), [], [0.0]
    for name, values, colour, text, fill in (
        ("hold", of_hold, palette.BASELINE, palette.MUTED, None),
        ("gross", gross, palette.HAR, palette.HAR, None),
        ("net", net, palette.NETWORK, palette.NETWORK, "tozeroy"),
    ):
        thin = 100.0 * np.add.reduceat(values, starts) / np.diff([*starts, values.size])
        figure.add_scatter(
            x=times,
            y=thin.astype(np.float32),
            mode="lines",
            line={"color": colour, "width": 1.5},
            fill=fill,
            fillcolor=palette.BAND,
            hovertemplate=f"{name} %{{y:.0f}} %<extra></extra>",
        )
        mean = float(values[1:].mean())
        labels.append((f"<b>{name}</b> {percent(mean, 0)}", float(thin[-1]), text))
        ends += [float(thin.min()), float(thin.max())]
    palette.styled(figure, 260, right=92, left=48)
    low, high = min(ends), max(ends)
    palette.direct_labels(figure, labels, high - low or 1.0, gap=0.09, within=(low, high))
    figure.update_yaxes(ticksuffix=" %", nticks=5)
    figure.update_layout(hovermode="x unified")
    figure.add_hline(y=0, line={"color": palette.MUTED, "width": 1})
    caption = (
        "Value of the coins over equity, means over runs of bars: gross counts longs and shorts alike, net "
        f"takes shorts off longs. Labels give the mean over the test; gross was {percent(gross.max(), 0)} at "
        "most."
    )
    return Picture("How much of the equity was in the market", figure, caption, unit="% of equity, UTC")
