"""What an equity curve risks: tails of its returns, how deep and how long it is under water.

In: equity at each bar's close, costs already taken. Out: a number, or `Absent` with a reason, and the
drawdown at every bar. Returns are those of the bars, so a value at risk is of one bar: give daily equity for
that of a day. Years have 365 days. Definitions are those of empyrical, but losses are positive here.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from polyscale.backtesting.measures import Absent, Floats, Measure, periods_per_year, returns
from polyscale.market.errors import DataError
from polyscale.market.timeframe import Timeframe

_ROUNDING: Final = 1e-14  # of equity that is back where it was


def value_at_risk(equity: Floats, cutoff: float = 0.05) -> Measure:
    """Loss that a share ``cutoff`` of the returns reaches: minus their quantile, interpolated linearly.

    Historical: of the returns that were, no distribution assumed. Negative where even that return is a gain.

    Raises
    ------
    DataError
        If ``cutoff`` is not between 0 and 1.
    """
    r = returns(equity)
    return _no_tail(len(r), cutoff) or 0.0 - float(np.quantile(r, cutoff))  # no minus zero


def expected_shortfall(equity: Floats, cutoff: float = 0.05) -> Measure:
    """Mean loss of the lowest returns, a share ``cutoff`` of them, never less than the value at risk.

    They are those up to the place ``floor((n - 1) * cutoff)`` in order of size, counted from 0: the returns
    at or below the quantile before it is interpolated.

    Raises
    ------
    DataError
        If ``cutoff`` is not between 0 and 1.
    """
    r = returns(equity)
    absent = _no_tail(len(r), cutoff)
    if absent:
        return absent
    last = int((len(r) - 1) * cutoff)
    return 0.0 - float(np.partition(r, last)[: last + 1].mean())


def _no_tail(num_returns: int, cutoff: float) -> Absent | None:
    """Return why there is no tail: with less than one return in it, its quantile is just the worst one."""
    if not 0.0 < cutoff < 1.0:
        raise DataError(f"the cutoff of a tail must be between 0 and 1, got {cutoff}")
    if num_returns * cutoff < 1.0 - 1e-9:
        return Absent(f"{num_returns} returns have less than one in a tail of {cutoff:g}")
    return None


def tail_ratio(equity: Floats) -> Measure:
    """Return that one bar in twenty is above, over the loss that one in twenty is below.

    Unlike in empyrical, which takes both without their signs, there is none where the low one is no loss or
    the high one no gain.
    """
    r = returns(equity)
    absent = _no_tail(len(r), 0.05)
    if absent:
        return absent
    low, high = (float(x) for x in np.quantile(r, [0.05, 0.95]))
    if low >= -_ROUNDING:
        return Absent("fewer than one bar in twenty lost money")
    return high / -low if high >= 0.0 else Absent("fewer than one bar in twenty made money")


def annual_volatility(equity: Floats, timeframe: Timeframe) -> Measure:
    """``sd(r) * sqrt(bars per year)``, sd with ``ddof=1``; 0 where returns do not vary."""
    r = returns(equity)
    if len(r) < 2:
        return Absent("fewer than two returns")
    return float(r.std(ddof=1)) * math.sqrt(periods_per_year(timeframe))


def downside_deviation(equity: Floats, timeframe: Timeframe) -> Measure:
    """``sqrt(mean(min(r, 0)^2)) * sqrt(bars per year)``: all bars count in the mean; 0 where none lost."""
    r = returns(equity)
    if len(r) < 2:
        return Absent("fewer than two returns")
    return math.sqrt(float(np.square(np.minimum(r, 0.0)).mean()) * periods_per_year(timeframe))


def drawdowns(equity: Floats) -> Floats:
    """Fall below the highest equity so far at each bar, [T], as a positive share; 0 at a new height.

    Known at the bar's close: it looks at no later one. The largest is the measure `max_drawdown`.
    """
    return 1.0 - equity / np.maximum.accumulate(equity)


def longest_drawdown(equity: Floats) -> int:
    """Most bars in a row that closed below the highest equity before them; 0 if none did.

    The bar that is back at the height does not count. A stay that lasts to the end counts as far as it goes:
    the true one may be longer.
    """
    bar = np.arange(len(equity))
    last_height = np.maximum.accumulate(np.where(drawdowns(equity) <= _ROUNDING, bar, 0))
    return int((bar - last_height).max())
