"""Each horizon alone, all of them together, and two ways to hold: their accounts side by side.

In: a `Study`. Out: a `Section`: equity of every line, and what each earned a day more than holding.
"""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from polyscale.backtesting.result import BacktestResult
from polyscale.evaluation.trading.compare import COMBINED, HOLD, MANAGED, Line, ScaleComparison
from polyscale.evaluation.trading.study import Study
from polyscale.report import palette
from polyscale.report.section import Picture, Section, Table
from polyscale.report.wording import ABSENT, interval, joined, number, percent

_MAX_POINTS = 400
_SHORT = {HOLD: "hold", MANAGED: "managed hold"}  # beside a line
_OWN = {COMBINED: palette.NETWORK, HOLD: palette.BASELINE, MANAGED: palette.HAR}
_MEASURES = {"sharpe_ratio": "Sharpe ratio"}


def strategies_section(study: Study) -> Section:
    """All lines in one picture and one table."""
    comparison = study.comparison
    return Section(
        "strategies",
        "Scales as strategies",
        [_lead(comparison), _chance(comparison)],
        [_picture(comparison)],
        [_table(comparison, study.traded)],
    )


def _lead(comparison: ScaleComparison) -> str:
    return (
        "The same rules trade the forecast of each horizon alone"
        + (", and an equal part of each together (combined)" if _has(comparison, COMBINED) else "")
        + ". Beside them, at the same costs, buying and holding"
        + (
            ", and holding with a size such that the forecast volatility stays on its target."
            if _has(comparison, MANAGED)
            else "."
        )
    )


def _chance(comparison: ScaleComparison) -> str:
    """Which intervals are clear of zero, and what the number of lines makes of that."""
    rivals = [line for line in comparison.lines if line.name != HOLD]
    above = [line.name for line in rivals if line.over_hold.above(0.0)]
    below = [line.name for line in rivals if line.over_hold.below(0.0)]
    without = sum(line.over_hold.low is None for line in rivals)
    told = []
    if above:
        told.append(f"{joined(above)} earned more a day than holding, with an interval clear of zero.")
    if below:
        told.append(f"{joined(below)} earned less a day than holding, with an interval clear of zero.")
    if not above and not below:
        told.append(
            "There is no interval of what a line earned a day more than holding."
            if without == len(rivals)
            else "No line earned more or less a day than holding with an interval clear of zero."
        )
    told.append(
        f"The best of {len(rivals)} lines is the best by chance as well; the intervals are of one line each."
    )
    return " ".join(told)


def _picture(comparison: ScaleComparison) -> Picture:
    figure, labels, ends = go.Figure(), [], [0.0]
    colours = _colours(comparison)
    for line in sorted(comparison.lines, key=lambda each: each.name not in _SHORT):
        times, change = _thinned(line.result)
        name, colour = _SHORT.get(line.name, line.name), colours[line.name]
        figure.add_scatter(
            x=times,
            y=change.astype(np.float32),
            mode="lines",
            line={"color": colour, "width": 2.5 if line.name == COMBINED else 1.75},
            hovertemplate=f"{name} %{{y:.2f}} %<extra></extra>",
        )
        labels.append((f"<b>{name}</b>", float(change[-1]), palette.MUTED if line.name == HOLD else colour))
        ends += [float(change.min()), float(change.max())]
    low, high = min(ends), max(ends)
    room = 0.04 * (high - low) or 1.0
    palette.styled(figure, 400, right=104, left=48)
    palette.direct_labels(figure, labels, high - low or 1.0, gap=0.052, within=(low, high))
    figure.add_hline(y=0, line={"color": palette.MUTED, "width": 1})
    figure.update_yaxes(ticksuffix=" %", nticks=7, range=[low - room, high + room])
    figure.update_layout(hovermode="x unified")
    best = max(comparison.lines, key=lambda line: line.result.equity[-1])
    caption = (
        f"Highest at the end is {best.name}, {percent(best.result.total_return, 1, signed=True)}, after "
        "fees, slippage and funding. Violet are single horizons, in order of their length."
    )
    return Picture(
        "What each horizon would have made alone", figure, caption, unit="change of equity in %, UTC"
    )


def _colours(comparison: ScaleComparison) -> dict[str, str]:
    horizons = [line.name for line in comparison.lines if line.name not in _OWN]
    return _OWN | dict(zip(horizons, palette.strands(len(horizons)), strict=True))


def _thinned(result: BacktestResult) -> tuple[list[str], np.ndarray]:
    """Last closes of equal runs of bars, and the change of equity there in percent."""
    equity = result.equity
    ends = np.append(palette.chunk_starts(equity.size, _MAX_POINTS)[1:], equity.size) - 1
    times = palette.time_text(result.grid.close_ms[ends].astype("datetime64[ms]"))
    return times, 100.0 * (equity[ends] / result.initial_capital - 1.0)


def _table(comparison: ScaleComparison, traded: str) -> Table:
    rows = [_row(line, traded) for line in comparison.lines]
    rows += [(name, *[ABSENT] * 8) for name in comparison.reasons]
    level = comparison.lines[0].over_hold.level
    head = (
        "Line", "Return", f"Over holding [{percent(level, 0)}]", "Sharpe", "Drawdown", "Exposure", "Turnover",
        "Trades", "Costs",
    )  # fmt: skip
    caption = (
        "Over holding: what a line earned a day more, in basis points. Sharpe ratios a year; drawdown "
        "the largest, exposure the mean share of equity, turnover in mean equities, costs a share "
        "of the starting equity."
    )
    return Table("Every line after costs", head, rows, " ".join([caption, *_reasons(comparison)]))


def _row(line: Line, traded: str) -> tuple[str, ...]:
    result = line.result
    return (
        f"{line.name}, traded" if line.name == traded else line.name,
        percent(result.total_return, 2, signed=True),
        ABSENT if line.name == HOLD else interval(line.over_hold, 1, factor=1e4, signed=True),
        number(result.sharpe_ratio),
        percent(result.max_drawdown),
        percent(result.exposure),
        number(result.turnover, 1),
        number(result.n_trades, 0),
        percent(result.costs.total_share, 2),
    )


def _reasons(comparison: ScaleComparison) -> list[str]:
    """Why a line or a number is not there, each reason once."""
    found = [f"Not there, {name}: {why}." for name, why in comparison.reasons.items()]
    by_reason: dict[tuple[str, str], list[str]] = {}
    for line in comparison.lines:
        for field, name in _MEASURES.items():
            if field in line.result.reasons:
                by_reason.setdefault((name, line.result.reasons[field]), []).append(line.name)
        if line.name != HOLD and line.over_hold.reason:
            by_reason.setdefault(("interval", line.over_hold.reason), []).append(line.name)
    return found + [f"No {what} of {joined(names)}: {why}." for (what, why), names in by_reason.items()]


def _has(comparison: ScaleComparison, name: str) -> bool:
    return any(line.name == name for line in comparison.lines)
