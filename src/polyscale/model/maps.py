"""Attention maps: which states and rows a forecast looked at, for the few origins that somebody asks about.

In: a network and its input. Out: `AttentionMaps`. The network's own forward runs once, and its weights are
recorded. Shapes: B batch, N origins, S scales, K states or keys, Q rows that ask, R reach of a layer, T rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from polyscale.model.encoder import ScaleEncoder
from polyscale.model.network import MultiScaleAttention, NetworkInput, NetworkOutput
from polyscale.model.reach import Levels
from polyscale.model.recorder import recording


class LayerMap(NamedTuple):
    """What the rows that ask in one layer looked at, averaged over heads; the newest asks last."""

    keys: Float[Tensor, "B Q K"]  # near rows first, then means of 2, of 4, ... rows; sums to 1
    rows: Float[
        Tensor, "B Q R"
    ]  # the same over single rows: the asking row first, then the one before it, ...


class AttentionMaps(NamedTuple):
    """Weights of one pass; where nothing is there to look at they are zero, else they sum to 1."""

    across: Float[Tensor, "B N S S K"]  # asking scale, asked scale, its states, newest first; sums over both
    encoders: tuple[tuple[LayerMap, ...], ...]  # S x layers, the lowest (that reads the rows) first
    output: NetworkOutput


@torch.no_grad()
def attention_maps(network: MultiScaleAttention, inputs: NetworkInput) -> AttentionMaps:
    """Run the network and keep what it looked at.

    One origin per sample (window mode) gives the maps of that origin; memory goes with rows x keys, so this
    is for few origins. A layer's map is about the states below it: only the lowest layer's are the rows
    themselves, and these hold their neighbours by the convolution.
    """
    with recording() as weights:
        output = network(inputs)
    *within, across = weights
    recorded = iter(within)
    encoders = [encoder for encoder in network.encoders if isinstance(encoder, ScaleEncoder)]
    maps = tuple(
        tuple(_layer_maps(encoder, mask, recorded))
        for encoder, mask in zip(encoders, inputs.masks, strict=True)
    )
    assert next(recorded, None) is None
    return AttentionMaps(across.mean(dim=2), maps, output)


def _layer_maps(encoder: ScaleEncoder, mask_bt: Tensor, recorded: Iterator[Tensor]) -> Iterator[LayerMap]:
    """Maps of one encoder's layers, from the lowest up; each reads the answers of the one below."""
    for levels in encoder.reach.layers:
        keys = next(recorded).mean(dim=2)
        yield LayerMap(keys, over_rows(keys, mask_bt, levels))
        mask_bt = mask_bt[:, mask_bt.shape[1] - keys.shape[1] :]


def over_rows(
    keys_bqk: Float[Tensor, "B Q K"], mask_bt: Bool[Tensor, "B T"], levels: Levels
) -> Float[Tensor, "B Q R"]:
    """Spread weights of keys over single rows: a mean of n rows gives each 1 / n of its weight.

    Parameters
    ----------
    mask_bt
        Of all rows, of which the last Q ask; missing rows get nothing.
    """
    widths = torch.tensor([1 << level for level, slots in enumerate(levels) for _ in range(slots)])
    key_of_row = torch.repeat_interleave(torch.arange(len(widths)), widths).to(mask_bt.device)  # [R]
    num_rows, num_asking, reach = mask_bt.shape[1], keys_bqk.shape[1], len(key_of_row)
    asking = torch.arange(num_rows - num_asking, num_rows, device=mask_bt.device)
    rows = asking[:, None] - torch.arange(reach, device=mask_bt.device)  # [Q, R]
    there = (mask_bt[:, rows.clamp(min=0)] & (rows >= 0)).to(keys_bqk.dtype)
    counts = torch.zeros_like(keys_bqk).index_add(2, key_of_row, there)
    return (keys_bqk / counts.clamp(min=1))[..., key_of_row] * there
