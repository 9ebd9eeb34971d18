"""Windows as a panel: their rows once, frozen scalers applied, ready for stretches.

In: a model and arrays of windows. Out: a `Part` whose origins are the windows, in their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from polyscale.chapter.network import MultiScaleAttention, scale_rows
from polyscale.chapter.sharing import Float32s, Ints, check_windows, rows_of_windows
from polyscale.dataset.scaling import fit_scaler
from polyscale.dataset.stretches import ScaledPanel
from polyscale.market.errors import ConfigError, DataError
from polyscale.training.batches import Part

Floats = NDArray[np.float64]
_TINY = 1e-20  # variance of returns that never move


class Shared(NamedTuple):
    """Windows of all scales as rows."""

    rows: tuple[Float32s, ...]  # S x [T_s, F_s], NaN where missing
    last: Ints  # [N, S] the row at which each window ends

    @property
    def seen(self) -> NDArray[np.bool_]:
        """[N] whether the newest row of some scale is there: what a forecast needs."""
        newest = [present[self.last[:, j]] for j, present in enumerate(self.present)]
        return np.asarray(np.any(newest, axis=0))

    @property
    def present(self) -> tuple[NDArray[np.bool_], ...]:
        """S x [T_s] which rows are there."""
        return tuple(np.asarray(np.isfinite(rows).all(axis=1)) for rows in self.rows)


def shared_rows(model: MultiScaleAttention, x: Mapping[str, Any]) -> Shared:
    """Rows of windows; those beyond the model's lookback are left out.

    Raises
    ------
    ConfigError
        If the model is another one than the chapter's.
    DataError
        If scales or shapes are not those of the model.
    """
    if not isinstance(model, MultiScaleAttention):
        raise ConfigError(
            f"model must be a polyscale.chapter.MultiScaleAttention, got {type(model).__name__}"
        )
    arrays = check_windows(x, model.scales)
    for name, array in arrays.items():
        width, lookback = model.input_dims[name], model.lookbacks[name]
        if array.shape[2] != width or array.shape[1] < lookback:
            raise DataError(
                f"windows of {name} must be [N, rows >= {lookback}, {width} features], got {array.shape}"
            )
    found = [rows_of_windows(arrays[name][:, -model.lookbacks[name] :]) for name in model.scales]
    return Shared(tuple(rows for rows, _ in found), np.column_stack([last for _, last in found]))


def freeze(model: MultiScaleAttention, shared: Shared, y: Floats) -> None:
    """Fit medians, spreads and the variance of returns on training windows, and keep them in the model.

    Raises
    ------
    DataError
        If a scale has no finite row.
    """
    scalers = [fit_scaler([rows.astype(np.float64)]) for rows in shared.rows]
    missing = [name for name, scaler in zip(model.scales, scalers, strict=True) if scaler is None]
    if missing:
        raise DataError(
            f"training needs a row without NaN of every scale, found none of {missing}; drop them"
        )
    variance = np.nanmean(np.square(y), axis=0) / model.bars_ahead.numpy()
    base = np.log(np.maximum(variance, _TINY)).astype(np.float32)
    model.freeze([scaler for scaler in scalers if scaler is not None], base)


def check_returns(shared: Shared, y: Floats, what: str) -> None:
    """Raise DataError if a horizon has no return that moved in a window in which something is seen."""
    found = np.isfinite(y) & (y != 0) & shared.seen[:, None]
    if not found.any(axis=0).all():
        raise DataError(
            f"{what} needs a return of every horizon that is known and not 0, in a window whose newest row "
            f"is there; found {found.sum(axis=0).tolist()} in {len(y)} windows; give more windows"
        )


def part_of(model: MultiScaleAttention, shared: Shared, y: Floats) -> Part:
    """The windows as origins of one panel; returns that are not known are no labels.

    Squared returns stand in for realised variance: of what windows hold nothing is nearer.
    """
    bars = model.bars_ahead.numpy()
    base = np.broadcast_to(model.base_log_variance.numpy(), y.shape)
    log_unit = 0.5 * (base + np.log(bars))
    with np.errstate(divide="ignore"):
        log_variance = np.log(np.square(y) / bars)
    moved = np.isfinite(
        log_variance
    )  # an unmoved price says nothing of direction, and less than nothing in logs
    panel = ScaledPanel(
        time_ms=np.arange(len(y)) * model.settings.base.ms,
        traded=np.ones(len(y), dtype=bool),
        rows=tuple(_scaled(model, j, rows) for j, rows in enumerate(shared.rows)),
        warm=shared.present,
        index=shared.last,
        origin=np.zeros((len(y), 0), np.float32),
        base=np.ascontiguousarray(base),
        log_variance=np.where(moved, log_variance, np.nan).astype(np.float32),
        scaled_return=(y * np.exp(-log_unit)).astype(np.float32),
        up=np.where(moved, y > 0, np.nan).astype(np.float32),
        log_scale=log_unit.astype(np.float32),
    )
    return Part([panel], [shared.seen], model.settings)


def _scaled(model: MultiScaleAttention, scale: int, rows: Float32s) -> Float32s:
    with torch.inference_mode():
        return scale_rows(torch.from_numpy(rows), *model.scaler(scale)).numpy()
