"""What an equity curve and its trades are worth, as numbers that exist or say why they do not.

In: equity at each bar's close, costs already taken, or the profits of closed trades. Out: a number, or
`Absent` with a reason: no variance, no loss, no trade make no huge number. Years have 365 days. Definitions
are those of empyrical (risk-free rate 0), but for the drawdown, which is a positive share here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyscale.market.timeframe import DAY_MS, Timeframe

Floats = NDArray[np.float64]
_NO_VARIANCE: Final = 1e-14  # rounding of equity moves a return by some 1e-16


@dataclass(frozen=True)
class Absent:
    """A measure that does not exist here, and why."""

    reason: str


Measure: TypeAlias = "float | Absent"


def periods_per_year(timeframe: Timeframe) -> float:
    """Bars of a timeframe in 365 days."""
    return 365 * DAY_MS / timeframe.ms


def returns(equity: Floats) -> Floats:
    """Simple return of each bar but the first, [T - 1]; 0 once the equity is gone."""
    before = equity[:-1]
    return np.divide(np.diff(equity), before, out=np.zeros(len(before)), where=before > 0)


def total_return(equity: Floats) -> float:
    """Last over first, less one."""
    return float(equity[-1] / equity[0] - 1.0)


def sharpe_ratio(equity: Floats, timeframe: Timeframe) -> Measure:
    """``mean(r) / sd(r) * sqrt(bars per year)``, sd with ``ddof=1``, after costs."""
    r = returns(equity)
    if len(r) < 2:
        return Absent("fewer than two returns")
    deviation = float(r.std(ddof=1))
    if deviation <= _NO_VARIANCE:
        return Absent("returns do not vary")
    return float(r.mean()) / deviation * math.sqrt(periods_per_year(timeframe))


def sortino_ratio(equity: Floats, timeframe: Timeframe) -> Measure:
    """``mean(r) / sqrt(mean(min(r, 0)^2)) * sqrt(bars per year)``: all bars count in the downside's mean."""
    r = returns(equity)
    if len(r) < 2:
        return Absent("fewer than two returns")
    downside = math.sqrt(float(np.square(np.minimum(r, 0.0)).mean()))
    if downside <= _NO_VARIANCE:
        return Absent("no bar lost money")
    return float(r.mean()) / downside * math.sqrt(periods_per_year(timeframe))


def max_drawdown(equity: Floats) -> float:
    """Deepest fall below the highest equity before it, as a positive share: 0.2 is 20 %."""
    return float((1.0 - equity / np.maximum.accumulate(equity)).max())


def annual_return(equity: Floats, timeframe: Timeframe) -> Measure:
    """``(last / first) ^ (bars per year / returns) - 1``."""
    if equity[-1] <= 0:
        return -1.0
    years = (len(equity) - 1) / periods_per_year(timeframe)
    try:
        return math.expm1(math.log(equity[-1] / equity[0]) / years)
    except OverflowError:
        return Absent("too few bars to speak of a year")


def calmar_ratio(equity: Floats, timeframe: Timeframe) -> Measure:
    """Annual return over the deepest drawdown."""
    drawdown = max_drawdown(equity)
    if drawdown <= _NO_VARIANCE:
        return Absent("equity never fell")
    a_year = annual_return(equity, timeframe)
    return a_year if isinstance(a_year, Absent) else a_year / drawdown


def win_rate(net_pnl: Floats) -> Measure:
    """Share of closed trades that made money after costs."""
    if len(net_pnl) == 0:
        return Absent("no trade was closed")
    return float((net_pnl > 0).mean())


def profit_factor(net_pnl: Floats) -> Measure:
    """Money won over money lost in closed trades, after costs."""
    if len(net_pnl) == 0:
        return Absent("no trade was closed")
    lost = -float(np.minimum(net_pnl, 0.0).sum())
    if lost == 0:
        return Absent("no closed trade lost money")
    return float(np.maximum(net_pnl, 0.0).sum()) / lost


def exposure(position_value: Floats, equity: Floats) -> float:
    """Mean of ``|position value| / equity`` at the closes but the first: nothing is filled before it."""
    size, whole = np.abs(position_value[1:]), equity[1:]
    return float(np.divide(size, whole, out=np.zeros(len(whole)), where=whole > 0).mean())


def turnover(traded: Floats, equity: Floats) -> float:
    """Value bought and sold in the whole run, in mean equities; not annualised."""
    return float(traded.sum() / equity.mean())
