"""Causal attention of every row over its past, near rows one by one, far rows as means.

Shapes: B batch, T rows, of which the last Q ask, D width, H heads, E width of a head, K keys of a row, R
reach. A row asks itself and the rows just before it (level 0), then means of 2, of 4, ... of 2^l rows, laid
end to end (`polyscale.model.reach`). A mean of projected rows is the projection of their mean, so keys are
computed once per row, and a row's answer is the same whatever stretch it stands in.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from polyscale.model.kernels.ops import attend_hierarchy, attend_newest, compiled
from polyscale.model.linear import Linear
from polyscale.model.reach import Levels, reach_of
from polyscale.model.recorder import note
from polyscale.model.state import RowBuffer

_NEVER = -1e9  # a score that becomes exactly zero in float32 beside any real one


class LearnablePositionalEncoding(nn.Module):
    """A learned score per head and key: where a key lies behind the row that asks.

    The chapter adds a learned vector per absolute position, which windows that overlap cannot share: the same
    bar stands at another position in each. How far back a key lies is the same in all of them.
    """

    def __init__(self, heads: int, num_keys: int) -> None:
        super().__init__()
        # a softmax over one row is 1 whatever its score
        self.bias = nn.Parameter(torch.zeros(heads, num_keys), requires_grad=num_keys > 1)

    def forward(self) -> Float[Tensor, "H K"]:
        """The scores."""
        return self.bias


class HierarchicalAggregation(nn.Module):
    """Multi-head attention over levels of means; missing rows get no mass.

    The chapter pools by strides, which depends on where a window begins and fails on odd lengths, and pays
    full attention at its first level. Here nothing is decimated: every row has its own means.
    """

    def __init__(self, d_model: int, heads: int, levels: Levels) -> None:
        super().__init__()
        self.heads, self.levels = heads, levels
        self.query = Linear(d_model, d_model)
        self.key_value = Linear(d_model, 2 * d_model)
        self.position = LearnablePositionalEncoding(heads, sum(levels))
        self.output = Linear(d_model, d_model)
        self.query.requires_grad_(sum(levels) > 1)  # as with the position

    def forward(
        self,
        h_btd: Float[Tensor, "B T D"],
        mask_bt: Bool[Tensor, "B T"],
        num_asking: int,
        carried: RowBuffer | None = None,
    ) -> Float[Tensor, "B Q D"]:
        """Answers of the last ``num_asking`` rows; one whose whole past is missing gets zeros, projected.

        Parameters
        ----------
        carried
            Keys and values of the rows before; the new rows are put into it.
        """
        query = self.query(h_btd[:, h_btd.shape[1] - num_asking :]) * (h_btd.shape[2] // self.heads) ** -0.5
        key_value = self.key_value(h_btd)
        bias = self.position()
        if carried is None:
            context = attend(query, key_value, mask_bt, bias, self.levels)
        elif compiled(query) and h_btd.shape[1] == 1 and not torch.is_grad_enabled():
            carried.append(key_value, mask_bt)
            context = attend_newest(query, carried.values, carried.mask, carried.at, bias, self.levels)
        else:
            context = attend(query, *carried.extend(key_value, mask_bt), bias, self.levels)
        return self.output(context)


def attend(
    query_bqd: Float[Tensor, "B Q D"],
    key_value_btd: Float[Tensor, "B T D2"],
    mask_bt: Bool[Tensor, "B T"],
    bias_hk: Float[Tensor, "H K"],
    levels: Levels,
) -> Float[Tensor, "B Q D"]:
    """Attention of the last Q rows (``query_bqd``, scaled) over levels; compiled where that can be."""
    if compiled(query_bqd):
        return attend_hierarchy(query_bqd, key_value_btd, mask_bt, bias_hk, levels)
    weights, values = explicit_weights(query_bqd, key_value_btd, mask_bt, bias_hk, levels)
    note(weights)
    return torch.einsum("bqhk,bqkhe->bqhe", weights, values).flatten(-2)


def explicit_weights(
    query_bqd: Float[Tensor, "B Q D"],
    key_value_btd: Float[Tensor, "B T D2"],
    mask_bt: Bool[Tensor, "B T"],
    bias_hk: Float[Tensor, "H K"],
    levels: Levels,
) -> tuple[Float[Tensor, "B Q H K"], Float[Tensor, "B Q K H E"]]:
    """The softmax and the values that it weighs, as torch's own operations."""
    heads = bias_hk.shape[0]
    key_value, counts = _keys(key_value_btd, mask_bt, query_bqd.shape[1], levels)
    key, value = key_value.chunk(2, dim=-1)
    query = query_bqd.unflatten(-1, (heads, -1))
    scores = torch.einsum("bqhe,bqkhe->bqhk", query, key.unflatten(-1, (heads, -1))) + bias_hk
    there = (counts > 0)[:, :, None]
    weights = torch.softmax(scores.masked_fill(~there, _NEVER), dim=-1) * there
    return weights, value.unflatten(-1, (heads, -1))


def _keys(
    key_value_btd: Tensor, mask_bt: Tensor, num_asking: int, levels: Levels
) -> tuple[Float[Tensor, "B Q K D2"], Float[Tensor, "B Q K"]]:
    """Means of the rows that are there, and how many they are, of every key of the rows that ask."""
    counted = mask_bt[..., None].to(key_value_btd.dtype)
    sums = torch.cat([key_value_btd * counted, counted], dim=-1)
    lead = max(0, reach_of(levels) - 1 - (sums.shape[1] - num_asking))
    sums = F.pad(sums, (0, 0, lead, 0))
    asking = torch.arange(sums.shape[1] - num_asking, sums.shape[1], device=sums.device)
    found, back = [], 0
    for level, slots in enumerate(levels):
        if level > 0:
            half = 1 << (level - 1)
            sums = sums + F.pad(sums[:, :-half], (0, 0, half, 0))
        rows = asking[:, None] - back - (torch.arange(slots, device=sums.device) << level)
        found.append(sums[:, rows.clamp(min=0)] * (rows >= 0)[..., None])
        back += slots << level
    means = torch.cat(found, dim=2)
    counts = means[..., -1]
    return means[..., :-1] / counts.clamp(min=1)[..., None], counts
