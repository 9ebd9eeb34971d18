"""Attention maps at chosen origins of a panel: each origin alone, with its own windows.

In: a network, a part, rows of origins of its first panel. Out: `polyscale.model.maps.AttentionMaps`, one
sample per origin, in the order asked for. In a part of groups the other symbols are heard, not shown.
"""

from __future__ import annotations

from collections.abc import Sequence

from polyscale.dataset.stretches import cut
from polyscale.model.maps import AttentionMaps, LayerMap, attention_maps
from polyscale.model.network import MultiScaleAttention, NetworkOutput
from polyscale.training.batches import Part, places, to_tensors


def maps_at(network: MultiScaleAttention, part: Part, origins: Sequence[int]) -> AttentionMaps:
    """Run the network at these origins (rows of the first panel) and keep what it looked at."""
    stretch = cut(part.panels, part.counted, places(part, origins), 1, part.settings)
    inputs, _ = to_tensors(stretch, part.symbols)
    maps, own = attention_maps(network.eval(), inputs), slice(None, None, part.symbols)
    return AttentionMaps(
        maps.across[own],
        tuple(tuple(LayerMap(*(x[own] for x in layer)) for layer in layers) for layers in maps.encoders),
        NetworkOutput(*(x[own] for x in maps.output)),
    )
