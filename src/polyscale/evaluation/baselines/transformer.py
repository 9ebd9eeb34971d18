"""The product's own attention network with one scale and no base forecast to correct.

In: rows. Out: forecasts at the wanted origins. What several scales and the base forecast are worth shows
beside it: it reads the base scale alone, and where the network corrects the base forecast, it corrects the
variance of the last day. It is trained as the network is.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import torch

from polyscale.dataset.inputs import features_of
from polyscale.dataset.panel import num_origin_inputs
from polyscale.dataset.stretches import ScaledPanel
from polyscale.evaluation.baselines.rows import Bools, Floats, Rows, check_learnable
from polyscale.evaluation.baselines.sequences import Sequences, base_scale, log_day_variance
from polyscale.model.network import MultiScaleAttention
from polyscale.model.settings import EncoderSettings, NetworkSettings, NetworkSpec
from polyscale.training.batches import Part, load, ordered_batches
from polyscale.training.fit import fit
from polyscale.training.settings import TrainingSettings

_LEVELS: Final = (0.1, 0.5, 0.9)
_NETWORK: Final = NetworkSettings(
    d_model=32, encoders=(EncoderSettings(layers=2, heads=4, dropout=0.2),), scale_dropout=0.0
)
_STRETCH: Final = 512
_ORIGINS_TO_READ: Final = 1_500_000  # in all epochs together
_EPOCHS: Final = (3, 8)


def transformer(rows: Rows, seed: int = 1) -> list[Floats]:
    """What the network of one scale forecasts."""
    check_learnable(rows)
    sequences = base_scale(rows, rows.data.scales[0].lookback)
    days = [log_day_variance(panel) for panel in rows.panels]
    panels = [
        replace(
            scaled, base=np.broadcast_to(np.nan_to_num(day)[:, None], scaled.base.shape).astype(np.float32)
        )
        for scaled, day in zip(sequences.panels, days, strict=True)
    ]
    sequences = sequences._replace(panels=panels)
    network = _train(rows, sequences, seed)
    return [
        _forecast(network, scaled, sequences, wanted & panel.usable)[wanted]
        for panel, scaled, wanted in zip(rows.panels, panels, rows.wanted, strict=True)
    ]


def _train(rows: Rows, sequences: Sequences, seed: int) -> MultiScaleAttention:
    train = Part(sequences.panels, sequences.train, sequences.data)
    validate = Part(sequences.panels, sequences.validate, sequences.data)
    least, most = _EPOCHS
    epochs = int(np.clip(_ORIGINS_TO_READ // sum(int(c.sum()) for c in train.counted), least, most))
    settings = TrainingSettings(
        epochs=epochs,
        stretch=_STRETCH,
        learning_rate=2e-3,
        weight_decay=0.1,
        level_noise=0.15,
        patience=epochs,
    )
    with TemporaryDirectory() as folder:
        network, _ = fit(train, validate, _spec(rows, sequences), settings, seed, Path(folder))
    return network


def _spec(rows: Rows, sequences: Sequences) -> NetworkSpec:
    scale = sequences.data.scales[0]
    return NetworkSpec(
        settings=_NETWORK,
        scales=(scale.name,),
        lookbacks=(scale.lookback,),
        features=(tuple(features_of(sequences.data, scale).names),),
        num_origin_inputs=num_origin_inputs(rows.data),
        horizons=tuple(str(horizon) for horizon in rows.data.horizons),
        levels=_LEVELS,
    )


@torch.no_grad()
def _forecast(
    network: MultiScaleAttention, panel: ScaledPanel, sequences: Sequences, wanted: Bools
) -> Floats:
    """Forecasts at the wanted origins in a table of all [T, H], NaN elsewhere."""
    found = np.full(panel.base.shape, np.nan)
    part = Part([panel], [wanted], sequences.data)
    outputs = [
        network(inputs).log_variance[labels.counted].double().numpy()
        for inputs, labels in load(part, ordered_batches(part, _STRETCH, 4), _STRETCH)
    ]
    if outputs:
        found[wanted] = np.concatenate(outputs)
    return found
