"""The reach budget: how windows and dilations add up to exactly the lookback.

    lookback = 1 + (kernel - 1) + sum over layers of (window - 1) x dilation + (key span - 1)

In: lookback, layers, kernel, key span. Out: a window and a dilation per layer, with no dilation beyond the
reach below it, so that every row inside the lookback has some influence and no older row has any.
"""

from __future__ import annotations

from typing import NamedTuple

from polyscale.market.errors import ConfigError


class LayerReach(NamedTuple):
    """Attention of one layer: rows t, t - dilation, ..., t - (window - 1) x dilation."""

    window: int
    dilation: int

    @property
    def rows(self) -> int:
        """Rows before t that the layer reaches."""
        return (self.window - 1) * self.dilation


class Reach(NamedTuple):
    """How one encoder and the attention above it spend the lookback."""

    kernel: int
    layers: tuple[LayerReach, ...]
    key_span: int

    @property
    def lookback(self) -> int:
        """Rows on which a forecast depends."""
        return self.kernel + sum(layer.rows for layer in self.layers) + self.key_span - 1


def plan_reach(lookback: int, num_layers: int, kernel: int, key_span: int) -> Reach:
    """Spend the lookback; a short one shrinks the key span and the kernel first.

    The windows of the upper layers are equal and as small as they can be; the lowest takes the remainder.
    """
    key_span = max(1, min(key_span, (lookback + 1) // 2))
    kernel = max(1, min(kernel, lookback - key_span + 1))
    rest = lookback - kernel - key_span + 1
    for window in range(2, rest + 3):
        layers = _try_window(rest, num_layers, kernel, window)
        if layers is not None:
            return check_reach(Reach(kernel, layers, key_span), lookback)
    raise ConfigError(
        f"lookback {lookback} cannot be reached by {num_layers} layers; this is a fault of ours"
    )


def _try_window(rest: int, num_layers: int, kernel: int, window: int) -> tuple[LayerReach, ...] | None:
    """Layers whose upper windows are ``window``, or None if they cannot reach that far."""
    step = window - 1
    lowest = rest if num_layers == 1 else rest % step
    for first in range(lowest, rest + 1, step):
        if first > 2 * step:
            return None
        dilations = _spread((rest - first) // step, num_layers - 1, kernel + first, step)
        if dilations is not None:
            upper = tuple(LayerReach(window, d) if d else LayerReach(1, 1) for d in dilations)
            return (LayerReach(first + 1, 1), *upper)
    return None


def _spread(total: int, num_layers: int, reach: int, step: int) -> list[int] | None:
    """Dilations that sum to ``total``, rising, none beyond the ``reach`` (in rows) of what is below it."""
    dilations: list[int] = []
    for left in range(num_layers, 0, -1):
        needed = _least_first(total, left, reach, step)
        if needed is None:
            return None
        dilations.append(needed)
        total -= needed
        reach += step * needed
    return dilations if total == 0 else None


def _least_first(total: int, layers: int, reach: int, step: int) -> int | None:
    """The least dilation now, with which the layers above can still reach ``total``."""
    if layers == 1:
        return total if total <= reach else None
    for dilation in range(min(total, reach) + 1):
        most, below = dilation, reach + step * dilation
        for _ in range(layers - 1):
            most, below = most + below, below * (1 + step)
        if most >= total:
            return dilation
    return None


def check_reach(reach: Reach, lookback: int) -> Reach:
    """Return the plan, or say which rule of the budget it breaks."""
    if reach.lookback != lookback:
        raise ConfigError(f"reach must equal the lookback {lookback}, got {reach.lookback} from {reach}")
    below = reach.kernel
    for i, layer in enumerate(reach.layers):
        if layer.dilation > below:
            raise ConfigError(
                f"dilation of layer {i} must be <= the {below} rows below it, got {layer.dilation}"
            )
        below += layer.rows
    return reach
