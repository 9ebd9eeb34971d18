"""The reach budget: how the parts of an encoder add up to exactly the lookback.

    lookback = kernel + sum over layers of (reach - 1) + key span - 1

In: lookback, number of layers, kernel, key span, window. Out: the levels of every layer. A layer's reach is
the sum over its levels l of slots_l x 2^l rows that lie end to end, so that no row inside the lookback is
left out and no older row is read. The lowest layer reaches far by levels, the layers above look at a window
of single rows: then only the lowest pays for the rows before a stretch. The keys of a row grow with the
logarithm of the lookback.
"""

from __future__ import annotations

from typing import NamedTuple

from polyscale.market.errors import ConfigError

Levels = tuple[int, ...]
"""Slots (keys) of level 0, 1, ...; a key of level l is the mean of 2^l rows."""


class Reach(NamedTuple):
    """How one encoder and the attention above it spend the lookback."""

    kernel: int
    layers: tuple[Levels, ...]
    key_span: int

    @property
    def lookback(self) -> int:
        """Rows on which a forecast depends."""
        return self.kernel + sum(reach_of(levels) - 1 for levels in self.layers) + self.key_span - 1


def reach_of(levels: Levels) -> int:
    """Rows that a layer reads for one of its own, that row included."""
    return sum(slots << level for level, slots in enumerate(levels))


def plan_reach(lookback: int, num_layers: int, kernel: int, key_span: int, window: int) -> Reach:
    """Spend the lookback; a short one shrinks the key span, the kernel and the windows, in this order."""
    key_span = max(1, min(key_span, (lookback + 1) // 2))
    kernel = max(1, min(kernel, lookback - key_span + 1))
    rest = lookback - kernel - key_span + 1
    above = min(window - 1, rest // num_layers)
    lowest = rest - (num_layers - 1) * above
    layers = (plan_levels(lowest + 1, window), *(((above + 1),) for _ in range(num_layers - 1)))
    return check_reach(Reach(kernel, layers, key_span), lookback)


def plan_levels(rows: int, window: int) -> Levels:
    """About ``window`` slots on every level but the last, ``rows`` in all."""
    top = 0
    while window * ((2 << top) - 1) < rows:
        top += 1
    if top == 0:
        return (rows,)
    rest = rows - window * ((1 << top) - 1)
    slots = [window + (rest >> level & 1) for level in range(top)]
    return (*slots, rest >> top) if rest >> top else tuple(slots)


def check_reach(reach: Reach, lookback: int) -> Reach:
    """Return the plan, or say which rule of the budget it breaks."""
    if reach.lookback != lookback:
        raise ConfigError(f"reach must equal the lookback {lookback}, got {reach.lookback} from {reach}")
    for i, levels in enumerate(reach.layers):
        if not levels or min(levels) < 1:
            raise ConfigError(f"layer {i} must have at least one slot on every level, got {levels}")
    return reach
