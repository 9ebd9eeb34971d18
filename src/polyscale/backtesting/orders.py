"""From positions to the orders that the event loop fills.

In: positions by symbol, the grid of closes. Out: `Orders`, in time. An order is made only where the target
differs from the one decided before; where only levels change, the levels alone are changed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from polyscale.backtesting.book import Orders
from polyscale.backtesting.prices import Grid, named
from polyscale.market.errors import DataError
from polyscale.market.position import LEVELS, Positions

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
Rows = NDArray[np.int64]
_NONE: Final = np.empty(0)
_NONE.setflags(write=False)
logger = logging.getLogger(__name__)


def make_orders(positions: Mapping[str, Positions], grid: Grid, max_leverage: float) -> Orders:
    """Orders of all symbols, by their symbol's next bar after the close at which they were decided.

    Raises
    ------
    DataError
        If positions do not rise, are decided where their symbol has no bar, are of a symbol without bars, or
        a stop or take-profit lies on the wrong side of the entry.
    """
    strangers = [symbol for symbol in positions if symbol not in grid.symbols]
    if strangers:
        raise DataError(f"positions must be of symbols with bars {list(grid.symbols)}, got {strangers}")
    nothing = Positions(np.empty(0, dtype="datetime64[ms]"), np.empty(0))
    each = [
        _orders_of(symbol, positions.get(symbol, nothing), grid, n, max_leverage)
        for n, symbol in enumerate(grid.symbols)
    ]
    if len(each) == 1:
        return each[0]
    joined = [np.concatenate([getattr(orders, name) for orders in each]) for name in Orders._fields]
    order = np.argsort(joined[0], kind="stable")
    return Orders(*(values[order] for values in joined))


def _orders_of(symbol: str, positions: Positions, grid: Grid, n: int, max_leverage: float) -> Orders:
    rows = _rows_of(symbol, positions, grid, n)
    target = positions.target
    levels = [_given(positions, name) for name in LEVELS]
    ordered, changed = _changes(target, *levels)
    over = int((np.abs(target[ordered]) > max_leverage).sum())
    if over:
        logger.warning(
            "%s%d orders ask for more than max_leverage = %g and are cut to it",
            named(symbol),
            over,
            max_leverage,
        )
    bar = _next_own(changed if rows is None else rows[changed], grid, n)
    kept = bar < len(grid.close_ms)  # what is decided at the last close is never filled
    if any(level.size for level in levels):
        at = ordered if rows is None else rows[ordered]
        _check_sides(symbol, positions, ordered, grid.prices.close[n][at])
    bar, changed = bar[kept], changed[kept]
    return Orders(
        bar,
        np.full(len(bar), n, dtype=np.int64),
        np.where(np.isin(changed, ordered, assume_unique=True), target[changed], np.nan),
        *(level[changed] if level.size else np.full(len(bar), np.nan) for level in levels),
    )


def _next_own(rows: Rows, grid: Grid, n: int) -> Rows:
    """The symbol's next bar after each of its rows; as many as there are closes where it has none."""
    own = grid.rows[n]
    if own is None:
        return rows + 1
    after = np.searchsorted(own, rows, side="right")
    return np.append(own, len(grid.close_ms))[after]


def _given(positions: Positions, name: str) -> Floats:
    """A level as it was given; empty for none at all."""
    level: Floats | None = getattr(positions, name)
    return _NONE if level is None else level


@numba.njit(cache=True, nogil=True)
def _changes(target: Floats, limit: Floats, stop: Floats, take_profit: Floats) -> tuple[Rows, Rows]:
    """Rows where the target differs from the one before, and those where it or a level does."""
    ordered, changed = np.empty(len(target), dtype=np.int64), np.empty(len(target), dtype=np.int64)
    num_ordered, num_changed = 0, 0
    held = 0.0
    for row in range(len(target)):
        is_order = target[row] != held
        if is_order:
            ordered[num_ordered], held = row, target[row]
            num_ordered += 1
        if is_order or _differs(limit, row) or _differs(stop, row) or _differs(take_profit, row):
            changed[num_changed] = row
            num_changed += 1
    return ordered[:num_ordered].copy(), changed[:num_changed].copy()


@numba.njit(cache=True, nogil=True)
def _differs(level: Floats, row: int) -> bool:
    """Whether a level is not what it was in the row before; none before the first."""
    if len(level) == 0:
        return False
    before = level[row - 1] if row > 0 else np.nan
    return level[row] != before and not (np.isnan(level[row]) and np.isnan(before))


def _check_sides(symbol: str, positions: Positions, ordered: Rows, close: Floats) -> None:
    """An order's stop lies on the losing side of its entry, the take-profit on the other."""
    side = np.sign(positions.target[ordered])
    limit, stop, take_profit = (positions.level(name)[ordered] for name in LEVELS)
    entry = np.where(np.isnan(limit), close, limit)
    for name, level, away in (("stop", stop, -1.0), ("take_profit", take_profit, 1.0)):
        wrong = (side * away * (level - entry) <= 0.0) & (side != 0.0)
        if wrong.any():
            row = int(np.argmax(wrong))
            word = "long" if side[row] > 0 else "short"
            where = "below" if side[row] * away < 0 else "above"
            raise DataError(
                f"{named(symbol)}the {name} of a {word} must lie {where} its entry, got {level[row]:g} with "
                f"an entry at {entry[row]:g}, decided at {positions.close_time[ordered[row]]}; move it, or "
                "write NaN for none"
            )


def _rows_of(symbol: str, positions: Positions, grid: Grid, n: int) -> Rows | None:
    """Row of the bar at whose close each position was decided; none where they are all rows."""
    decided_ms = positions.close_time.astype("datetime64[ms]", copy=False).view(np.int64)
    close_ms = grid.close_ms
    if grid.rows[n] is None and np.array_equal(decided_ms, close_ms):
        return None
    if (np.diff(decided_ms) <= 0).any():
        at = decided_ms[1:][np.diff(decided_ms) <= 0][:1].astype("datetime64[ms]")[0]
        raise DataError(
            f"{named(symbol)}positions.close_time must rise and not repeat, broken at {at}; sort them"
        )
    rows = np.minimum(np.searchsorted(close_ms, decided_ms), len(close_ms) - 1)
    own = close_ms if grid.rows[n] is None else close_ms[grid.rows[n]]
    outside = decided_ms[(close_ms[rows] != decided_ms) | ~grid.prices.is_bar[n][rows]]
    if len(outside):
        start, end = own[[0, -1]].astype("datetime64[ms]")
        raise DataError(
            f"{named(symbol)}positions must be decided at the close of a bar; {len(outside)} of {len(rows)} "
            f"are not, first {outside.astype('datetime64[ms]')[0]}; bars go from {start} to {end} UTC: cut "
            "the positions, or give the missing bars"
        )
    return rows
