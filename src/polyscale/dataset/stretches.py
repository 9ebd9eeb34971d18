"""Stretches: consecutive origins with the rows that they see, as arrays ready for the network.

In: panels and scalers. Out: `Stretch` batches. A stretch of N origins costs its N base rows and one lookback
of context per scale; its rows are slices of arrays that exist once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyscale.dataset.panel import Panel
from polyscale.dataset.scaling import Scaler
from polyscale.dataset.settings import DataSettings

Float32s = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ScaledPanel:
    """What the network reads of one symbol, float32, computed once."""

    time_ms: Ints  # [T]
    traded: Bools  # [T] whether there was a bar
    rows: tuple[Float32s, ...]  # S x [T_s, F_s]
    warm: tuple[Bools, ...]  # S x [T_s]
    index: Ints  # [T, S]
    origin: Float32s  # [T, O]
    base: Float32s  # [T, H], 0 where unknown
    log_variance: Float32s  # [T, H] label, NaN where unknown
    scaled_return: Float32s  # [T, H] label
    up: Float32s  # [T, H] label
    log_scale: Float32s  # [T, H] log of sigma_t sqrt(bars in h): the unit of scaled_return


@dataclass(frozen=True, eq=False)
class Stretch:
    """Rows and origins of B stretches of N origins; the names are those of the network's input."""

    rows: tuple[Float32s, ...]  # S x [B, R_s, F_s]
    masks: tuple[Bools, ...]  # S x [B, R_s]
    index: Ints  # [B, N, S]
    origin: Float32s  # [B, N, O]
    base: Float32s  # [B, N, H]
    log_variance: Float32s  # [B, N, H]
    scaled_return: Float32s  # [B, N, H]
    up: Float32s  # [B, N, H]
    log_scale: Float32s  # [B, N, H]
    counted: Bools  # [B, N] origins that belong to the part asked for
    traded: Bools  # [B, N] whether the symbol had a bar there
    context: tuple[int, ...]  # S, first rows of each scale that no origin is aligned to


def scale_panel(
    panel: Panel, feature_scalers: tuple[Scaler | None, ...], origin_scaler: Scaler
) -> ScaledPanel:
    """Apply frozen scalers and cast to float32.

    A scale without a scaler was never warm in training: the network knows nothing of it, so all its rows are
    masked.
    """
    pairs = list(zip(feature_scalers, panel.features, panel.warm, strict=True))
    targets = panel.targets
    log_scale = np.log(targets.sigma)[:, None] + 0.5 * np.log(targets.bars_ahead)
    return ScaledPanel(
        time_ms=panel.time_ms,
        traded=panel.traded,
        rows=tuple(
            scaler.apply(rows) if scaler else np.zeros_like(rows, np.float32) for scaler, rows, _ in pairs
        ),
        warm=tuple(warm if scaler else np.zeros_like(warm) for scaler, _, warm in pairs),
        index=panel.index,
        origin=origin_scaler.apply(panel.origin),
        base=np.nan_to_num(panel.base).astype(np.float32),
        log_variance=targets.log_variance.astype(np.float32),
        scaled_return=targets.scaled_return.astype(np.float32),
        up=targets.up.astype(np.float32),
        log_scale=np.nan_to_num(log_scale).astype(np.float32),
    )


def rows_per_scale(settings: DataSettings, num_origins: int) -> tuple[int, ...]:
    """R_s: rows of each scale that a stretch of so many origins can see."""
    ratios = [settings.base.bars_in(scale.timeframe) for scale in settings.scales]
    reached = [-(-(num_origins - 1) // ratio) for ratio in ratios]
    return tuple(scale.lookback + more for scale, more in zip(settings.scales, reached, strict=True))


def cut(
    panels: list[ScaledPanel],
    counted: list[Bools],
    where: list[tuple[int, int]],
    num_origins: int,
    settings: DataSettings,
) -> Stretch:
    """Cut stretches out of panels.

    Parameters
    ----------
    counted
        Per panel [T]: origins that belong to the part asked for.
    where
        (panel, first origin) of each stretch; origins before the beginning (below 0) or beyond the end of a
        panel are padding and not counted.
    """
    sizes = _sizes(panels, where, num_origins, settings)
    pieces = [
        _cut_one(panels[i], counted[i], first, num_origins, sizes, [s.lookback for s in settings.scales])
        for i, first in where
    ]
    num_scales = len(sizes)
    per_origin = {name: np.stack([piece[name] for piece in pieces]) for name in _PER_ORIGIN}
    return Stretch(
        context=tuple(scale.lookback - 1 for scale in settings.scales),
        rows=tuple(np.stack([piece[f"rows{j}"] for piece in pieces]) for j in range(num_scales)),
        masks=tuple(np.stack([piece[f"mask{j}"] for piece in pieces]) for j in range(num_scales)),
        **per_origin,
    )


def _sizes(
    panels: list[ScaledPanel], where: list[tuple[int, int]], num_origins: int, settings: DataSettings
) -> tuple[int, ...]:
    """R_s: what so many bars see; more where the origins of a stretch are not those of consecutive bars."""
    reached = np.zeros(len(settings.scales), dtype=np.int64)
    for i, first in where:
        index = panels[i].index
        ends = index[np.clip([first, first + num_origins - 1], 0, len(index) - 1)]
        reached = np.maximum(reached, ends[1] - ends[0])
    least = rows_per_scale(settings, num_origins)
    return tuple(
        max(rows, scale.lookback + int(more))
        for rows, scale, more in zip(least, settings.scales, reached, strict=True)
    )


_COPIED = ("origin", "base", "log_variance", "scaled_return", "up", "log_scale", "traded")
_PER_ORIGIN = ("index", "counted", *_COPIED)


def _cut_one(
    panel: ScaledPanel,
    counted: Bools,
    first: int,
    num_origins: int,
    sizes: tuple[int, ...],
    lookbacks: list[int],
) -> dict[str, np.ndarray]:
    length = len(panel.index)
    begin = min(max(first, 0), length)
    end = max(begin, min(first + num_origins, length))
    before = min(max(-first, 0), num_origins)
    after = num_origins - before - (end - begin)
    piece = {name: _pad(getattr(panel, name)[begin:end], before, after) for name in _COPIED}
    piece["counted"] = _pad(counted[begin:end], before, after)
    index = panel.index[np.clip(np.arange(first, first + num_origins), 0, length - 1)]
    for j, (size, lookback) in enumerate(zip(sizes, lookbacks, strict=True)):
        start = int(index[0, j]) - lookback + 1
        stop = start + size
        inside = slice(max(start, 0), min(stop, len(panel.warm[j])))
        missing, beyond = inside.start - start, max(stop - inside.stop, 0)
        piece[f"rows{j}"] = _pad(panel.rows[j][inside], missing, beyond)
        piece[f"mask{j}"] = _pad(panel.warm[j][inside], missing, beyond)
        index[:, j] -= start
    piece["index"] = index
    return piece


def _pad(values: np.ndarray, before: int, after: int) -> np.ndarray:
    if before == after == 0:
        return values
    return np.pad(values, [(before, after)] + [(0, 0)] * (values.ndim - 1))
