"""Attention maps at chosen origins of a panel: each origin alone, with its own windows.

In: a network, a scaled panel, rows of origins. Out: `polyscale.model.maps.AttentionMaps`, one sample per
origin, in the order asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polyscale.dataset.settings import DataSettings
from polyscale.dataset.stretches import ScaledPanel, cut
from polyscale.model.maps import AttentionMaps, attention_maps
from polyscale.model.network import MultiScaleAttention
from polyscale.training.batches import to_tensors


def maps_at(
    network: MultiScaleAttention, panel: ScaledPanel, origins: Sequence[int], settings: DataSettings
) -> AttentionMaps:
    """Run the network at these origins (rows of the panel) and keep what it looked at."""
    counted = np.ones(len(panel.index), dtype=np.bool_)
    where = [(0, int(origin)) for origin in origins]
    inputs, _ = to_tensors(cut([panel], [counted], where, 1, settings))
    return attention_maps(network.eval(), inputs)
