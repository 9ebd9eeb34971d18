"""A trained network over panels: one `Forecast` per symbol, at every origin asked for.

In: scaled panels and the origins. Out: forecasts in units that a person uses. One pass over stretches;
nothing is computed per window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from polyscale.dataset.panel import Panel
from polyscale.market.errors import HistoryError
from polyscale.market.forecast import Forecast
from polyscale.market.timeframe import Timeframe
from polyscale.model.network import MultiScaleAttention, NetworkOutput
from polyscale.training.batches import Part, load, ordered_batches

Floats = NDArray[np.float64]
STRETCH = 1_024  # origins
_PER_BATCH = 4


def predict(network: MultiScaleAttention, panel: Panel, part: Part) -> Forecast:
    """Forecast at every counted origin of one symbol.

    Parameters
    ----------
    part
        The scaled panel of ``panel`` first, and the origins to forecast at. A network that attends across
        symbols hears those whose panels follow, with no origin counted; others are not read.

    Raises
    ------
    HistoryError
        If no origin is asked for.
    """
    origins = np.flatnonzero(part.counted[0])
    if len(origins) == 0:
        raise HistoryError(
            f"{panel.symbol}: a forecast needs at least 1 usable origin, found 0; give more bars"
        )
    outputs = _Arrays(*zip(*passes(network, part), strict=True))
    ahead = np.array(panel.targets.bars_ahead, dtype=np.float64)
    volatility = np.exp(0.5 * outputs.log_variance) * np.sqrt(ahead)
    quantiles = outputs.quantiles * volatility[..., None]
    levels = network.spec.levels
    return Forecast(
        close_time=panel.time_ms[origins].astype("datetime64[ms]"),
        horizons=tuple(Timeframe.parse(text) for text in network.spec.horizons),
        levels=levels,
        scales=network.spec.scales,
        quantiles=quantiles,
        prob_up=1 / (1 + np.exp(-outputs.up_logit)),
        volatility=volatility,
        expected_return=quantiles @ quantile_weights(levels),
        base_volatility=np.exp(0.5 * panel.base[origins]) * np.sqrt(ahead),
        scale_weights=outputs.scale_weights,
        cross_attention=outputs.cross_attention,
    )


@torch.inference_mode()
def passes(
    network: MultiScaleAttention, part: Part, stretch: int = STRETCH
) -> Iterator[tuple[NetworkOutput, torch.Tensor]]:
    """Outputs of one batch of stretches after the other, and which of their origins are counted."""
    network.eval()
    part = replace(part, grouped=network.spec.settings.across_symbols)
    per_batch = max(1, _PER_BATCH // part.symbols)
    for inputs, labels in load(part, ordered_batches(part, stretch, per_batch), stretch):
        yield network(inputs), labels.counted


def quantile_weights(levels: tuple[float, ...]) -> Floats:
    """Weights [Q] with which quantiles sum to a mean: each stands for the levels nearest to it.

    The tails beyond the outermost levels are cut at them, which is wrong alike on both sides.
    """
    middles = (np.array(levels[1:]) + np.array(levels[:-1])) / 2
    return np.diff(np.concatenate([[0.0], middles, [1.0]]))


class _Arrays:
    """A network's outputs at the counted origins, float64."""

    def __init__(self, outputs: Sequence[NetworkOutput], counted: Sequence[torch.Tensor]) -> None:
        def join(name: str) -> Floats:
            kept = [getattr(out, name)[mask] for out, mask in zip(outputs, counted, strict=True)]
            return torch.cat(kept).double().numpy()

        self.log_variance, self.quantiles, self.up_logit = (
            join("log_variance"),
            join("quantiles"),
            join("up_logit"),
        )
        self.scale_weights = join("scale_weights")
        self.scale_weights /= self.scale_weights.sum(axis=-1, keepdims=True)
        self.cross_attention = join("cross_attention")
        self.cross_attention /= self.cross_attention.sum(axis=-1, keepdims=True)
