"""The same decisions, some closes later: what a slow machine or a slow venue makes of a strategy.

In: positions by symbol and the grid of closes. Out: positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float64, Int64

from polyscale.backtesting.prices import Grid
from polyscale.market.position import LEVELS, Positions

# Shapes: r rows of the positions.


def delayed(positions: Mapping[str, Positions], grid: Grid, num_bars: int) -> dict[str, Positions]:
    """Positions decided ``num_bars`` of their symbol's own closes later, levels as they were.

    What would be decided after the last bar is dropped. An order whose stop or take-profit the later close
    has already passed is refused, and what is held is closed, as the backtest does with one that the open has
    passed. Positions must be decided at closes of their symbols' bars.
    """
    if num_bars == 0:
        return dict(positions)
    return {
        symbol: _delayed(each, grid, grid.symbols.index(symbol), num_bars)
        for symbol, each in positions.items()
    }


def _delayed(positions: Positions, grid: Grid, n: int, num_bars: int) -> Positions:
    rows = grid.rows[n]
    own_r = np.arange(len(grid.close_ms)) if rows is None else rows
    decided_ms = positions.close_time.astype("datetime64[ms]").astype(np.int64)
    later_r = np.searchsorted(grid.close_ms[own_r], decided_ms) + num_bars
    kept = int(np.searchsorted(later_r, len(own_r)))
    bar_r = own_r[later_r[:kept]]
    cut = Positions(
        grid.close_ms[bar_r].astype("datetime64[ms]"),
        positions.target[:kept],
        **{name: positions.level(name)[:kept] for name in LEVELS if getattr(positions, name) is not None},
    )
    return _without_passed(cut, grid.prices.close[n][bar_r])


def _without_passed(positions: Positions, close_r: Float64[np.ndarray, " r"]) -> Positions:
    """Target 0 for as long as an order stands that came too late for its levels."""
    target = positions.target
    is_order = target != np.append(0.0, target[:-1])
    limit, stop, take = (positions.level(name) for name in LEVELS)
    entry, side = np.where(np.isnan(limit), close_r, limit), np.sign(target)
    passed = is_order & ((side * (entry - stop) <= 0.0) | (side * (take - entry) <= 0.0)) & (side != 0.0)
    if not passed.any():
        return positions
    return replace(positions, target=np.where(_since_order(is_order, passed), 0.0, target))


def _since_order(is_order: Bool[np.ndarray, " r"], marked: Bool[np.ndarray, " r"]) -> Bool[np.ndarray, " r"]:
    """Whether the newest order at each row is a marked one."""
    newest: Int64[np.ndarray, " r"] = np.maximum.accumulate(np.where(is_order, np.arange(len(is_order)), -1))
    return np.where(newest >= 0, marked[newest], False)
