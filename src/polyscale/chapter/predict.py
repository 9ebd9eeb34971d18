"""The chapter's forecast: windows in, a dict of arrays out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from polyscale.chapter.network import TERMS, MultiScaleAttention
from polyscale.chapter.panel import part_of, shared_rows
from polyscale.chapter.train import check_device
from polyscale.forecast.predict import passes
from polyscale.market.errors import DataError

Floats = NDArray[np.float64]


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
            for out, counted in passes(model.network, part)
        ]
    return {name: torch.cat([piece[name] for piece in pieces]).double().numpy() for name in pieces[0]}
