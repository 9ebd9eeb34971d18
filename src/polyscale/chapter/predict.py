"""The chapter's forecast: windows in, a dict of arrays out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from polyscale.chapter.network import TERMS, MultiScaleAttention
from polyscale.chapter.panel import Shared, part_of, shared_rows
from polyscale.chapter.train import check_device
from polyscale.forecast.predict import STRETCH, passes
from polyscale.market.errors import DataError

Floats = NDArray[np.float64]
_MOST_ROWS = 65_536  # of a scale in one stretch: memory is in proportion


def multi_horizon_predict(
    model: MultiScaleAttention, data: Mapping[str, Any], device: str = "cpu"
) -> dict[str, Floats]:
    """Forecast several horizons for every window, in one pass over the rows that the windows share.

    Parameters
    ----------
    data
        Per scale windows [N, L, F], NaN where missing.

    Returns
    -------
    dict
        ``short_term``, ``medium_term``, ``long_term`` [N]: expected log returns over the model's horizons;
        ``direction`` [N, 3]: probabilities of a rise over each of them; ``attention`` [N, S, S]: how much
        scale i read of scale j, in the order of ``model.scales``; rows sum to 1.

    Raises
    ------
    DataError
        If scales or shapes are not those of the model, or a window has no scale whose newest row is there.
    """
    check_device(device)
    shared = shared_rows(model, data)
    part = part_of(model, shared, np.full((len(shared.last), len(TERMS)), np.nan))
    nothing = ~shared.seen
    if nothing.any():
        raise DataError(
            f"a window needs a scale whose newest row is without NaN; {nothing.sum()} of {len(nothing)} have "
            f"none, the first is window {int(nothing.argmax())}; leave them out"
        )
    with torch.inference_mode():
        pieces = [
            {
                name: values[counted.flatten()]
                for name, values in model.named(out, return_attention=True).items()
            }
            for out, counted in passes(model.network, part, stretch_of(shared))
        ]
    return {name: torch.cat([piece[name] for piece in pieces]).double().numpy() for name in pieces[0]}


def stretch_of(shared: Shared) -> int:
    """Windows of a stretch: fewer where they share few rows, as in another order than that of time."""
    stretch = STRETCH
    while stretch > 1 and _most_rows(shared, stretch) > _MOST_ROWS:
        stretch //= 2
    return stretch


def _most_rows(shared: Shared, stretch: int) -> int:
    """From the first window's end to the last one's, in any stretch."""
    last = shared.last
    further = min(stretch, len(last)) - 1
    return int((last[further:] - last[: len(last) - further]).max())
