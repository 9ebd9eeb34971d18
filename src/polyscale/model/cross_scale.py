"""Attention across scales, at each origin, and the gate that fuses what it gives.

Shapes: B batch, N origins, S scales, K key span, T rows of a scale, D width, H heads, E width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from polyscale.model.kernels.ops import attend_across, compiled
from polyscale.model.linear import Linear
from polyscale.model.recorder import note

_NEVER = -1e9


class MultiResolutionAttention(nn.Module):
    """Each scale's newest state asks the last K states of every scale.

    Inside a scale the weights are a softmax over its K states; across scales

        A_ij = softmax_j(logsumexp_k s_ijk - log n_j + b_ij)

    with n_j the number of states that scale j has there, so that a scale does not win by having more rows.
    That is one softmax over all states of all scales, with scores s_ijk - log n_j + b_ij, summed over each
    scale. The chapter averages the contexts of all scales with equal weight and returns a softmax's mean,
    which is always 1 / L: its matrix says nothing. Here A is what weighs the contexts.
    """

    def __init__(self, d_model: int, heads: int, key_spans: Sequence[int], *, across: bool = True) -> None:
        super().__init__()
        self.across = across  # whether scales ask one another, or each its own states alone
        self.heads, self.key_spans = heads, tuple(key_spans)
        self.num_keys = (max(self.key_spans) + 3) // 4 * 4
        num_scales = len(self.key_spans)
        self.query = nn.ModuleList(Linear(d_model, d_model) for _ in range(num_scales))
        self.key_value = nn.ModuleList(Linear(d_model, 2 * d_model) for _ in range(num_scales))
        self.recency = nn.ParameterList(nn.Parameter(torch.zeros(heads, span)) for span in self.key_spans)
        self.affinity = nn.Parameter(torch.zeros(heads, num_scales, num_scales))
        self.norm = nn.LayerNorm(d_model)
        self.affinity.requires_grad_(across and num_scales > 1)  # of one scale it shifts every score alike
        if num_scales * max(self.key_spans) == 1:  # a softmax over one state is 1 whatever is asked
            self.query.requires_grad_(False)
            self.recency.requires_grad_(False)

    def project(
        self, scale: int, states_btd: Float[Tensor, "B T D"]
    ) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B T D2"]]:
        """What a scale's states ask, scaled, and their keys and values: once per row."""
        query = self.query[scale](states_btd) * (states_btd.shape[-1] // self.heads) ** -0.5
        return query, self.key_value[scale](states_btd)

    def forward(
        self,
        states: Sequence[Float[Tensor, "B _ D"]],
        queries: Sequence[Float[Tensor, "B _ D"]],
        keys_values: Sequence[Float[Tensor, "B _ D2"]],
        masks: Sequence[Bool[Tensor, "B _"]],
        rows_bns: Int[Tensor, "B N S"],
        present_bns: Bool[Tensor, "B N S"],
    ) -> tuple[Float[Tensor, "B N S D"], Float[Tensor, "B N S S"], Float[Tensor, "B N S"]]:
        """Mixed states, the attention between scales, and the share that it has in each mixed state.

        The attention is averaged over heads; its rows sum to 1. A mixed state is the scale's own newest state
        plus what it read; the share is the length of the latter over the sum of both lengths.

        Parameters
        ----------
        rows_bns
            Row of each scale that is known at each origin, -1 where there is none: then its query is zero.
        present_bns
            Whether the scale takes part there; if not, its states are not read. At an origin without any
            scale the contexts and the attention are zero.
        """
        how = attend_across if compiled(queries[0]) else explicit_across
        asked = queries, keys_values, masks, rows_bns, present_bns
        context, matrix = how(*asked, self._bias(), self.key_spans)
        newest = torch.stack([take(h, rows_bns[..., j]) for j, h in enumerate(states)], dim=2)
        return self.norm(newest + context), matrix, _share(context, newest)

    def _bias(self) -> Float[Tensor, "H S S K"]:
        """What is added to every score: how old a state is, and which scale asks which."""
        recency = torch.stack(
            [nn.functional.pad(r, (0, self.num_keys - r.shape[-1])) for r in self.recency], dim=1
        )
        affinity: Tensor = self.affinity
        if not self.across:
            others = ~torch.eye(affinity.shape[-1], dtype=torch.bool, device=affinity.device)
            affinity = affinity.masked_fill(others, _NEVER)
        return affinity[..., None] + recency[:, None]


def explicit_across(
    queries: Sequence[Float[Tensor, "B _ D"]],
    keys_values: Sequence[Float[Tensor, "B _ D2"]],
    masks: Sequence[Bool[Tensor, "B _"]],
    rows_bns: Int[Tensor, "B N S"],
    present_bns: Bool[Tensor, "B N S"],
    bias_hijk: Float[Tensor, "H S S K"],
    key_spans: Sequence[int],
) -> tuple[Float[Tensor, "B N S D"], Float[Tensor, "B N S S"]]:
    """The attention as torch's own operations: contexts; weights summed over states, averaged over heads."""
    asked = queries, keys_values, masks, rows_bns, present_bns
    weights, values = explicit_weights_across(*asked, bias_hijk, key_spans)
    note(weights)
    context = torch.einsum("bnhijk,bnjkhe->bnihe", weights, values).flatten(-2)
    return context, weights.sum(dim=-1).mean(dim=2)


def explicit_weights_across(
    queries: Sequence[Float[Tensor, "B _ D"]],
    keys_values: Sequence[Float[Tensor, "B _ D2"]],
    masks: Sequence[Bool[Tensor, "B _"]],
    rows_bns: Int[Tensor, "B N S"],
    present_bns: Bool[Tensor, "B N S"],
    bias_hijk: Float[Tensor, "H S S K"],
    key_spans: Sequence[int],
) -> tuple[Float[Tensor, "B N H S S K"], Float[Tensor, "B N S K H E"]]:
    """One softmax over the states of all scales, and the values that it weighs."""
    heads, num_scales, _, num_keys = bias_hijk.shape
    back = torch.arange(num_keys, device=rows_bns.device)
    query, key_value, offset = [], [], []
    for j in range(num_scales):
        known = rows_bns[..., j]
        rows = known[..., None] - back
        there = (rows >= 0) & (back < key_spans[j]) & _take_mask(masks[j], rows) & present_bns[..., j, None]
        query.append(take(queries[j], known) * (known >= 0)[..., None])
        key_value.append(take(keys_values[j], rows.flatten(1)).unflatten(1, rows.shape[1:]))
        shared = -there.sum(-1, keepdim=True).clamp(min=1).to(queries[0].dtype).log()
        offset.append(shared.masked_fill(~there, _NEVER))
    key, value = torch.stack(key_value, dim=2).chunk(2, dim=-1)  # [B, N, S, K, D]
    asked = torch.stack(query, dim=2).unflatten(-1, (heads, -1))
    scores = torch.einsum("bnihe,bnjkhe->bnhijk", asked, key.unflatten(-1, (heads, -1))) + bias_hijk
    offsets = torch.stack(offset, dim=2)[:, :, None, None]  # [B, N, 1, 1, S, K]
    scores = (scores + offsets).masked_fill(offsets <= _NEVER, _NEVER).flatten(-2)
    weights = torch.softmax(scores, dim=-1).unflatten(-1, (num_scales, num_keys))
    return weights * (offsets > _NEVER), value.unflatten(-1, (heads, -1))


class CrossScaleFusion(nn.Module):
    """A softmax gate over the scales, and the weighted sum of their states.

    The chapter multiplies a static weight with a sigmoid gate, concatenates and projects, so that the
    projection can undo any weight: there the weights cannot be told from the data. A gate that sums to one
    over equal footing can.
    """

    def __init__(self, d_model: int, num_scales: int, *, gated: bool = True) -> None:
        super().__init__()
        self.gated = gated  # whether the weights are learned, or equal
        self.static = nn.Parameter(torch.zeros(num_scales))
        self.dynamic = nn.ModuleList(
            nn.Sequential(Linear(d_model, d_model // 4), nn.GELU(), Linear(d_model // 4, 1))
            for _ in range(num_scales)
        )
        self.requires_grad_(gated and num_scales > 1)

    def forward(
        self, states_bnsd: Float[Tensor, "B N S D"], present_bns: Bool[Tensor, "B N S"]
    ) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "B N S"]]:
        """The fused state and the gate (sums to 1, zero where a scale is absent; all zero where all are)."""
        dynamic = torch.cat([score(states_bnsd[:, :, i]) for i, score in enumerate(self.dynamic)], dim=-1)
        scores = self.static + dynamic if self.gated else torch.zeros_like(dynamic)
        gate = torch.softmax(scores.masked_fill(~present_bns, _NEVER), dim=-1) * present_bns
        return (gate[..., None] * states_bnsd).sum(dim=2), gate


def take(x_btd: Float[Tensor, "B T D"], rows_bn: Int[Tensor, "B N"]) -> Float[Tensor, "B N D"]:
    """Rows of each sample; rows below 0 give row 0."""
    batch, num_rows, width = x_btd.shape
    begin = torch.arange(batch, device=x_btd.device)[:, None] * num_rows
    taken = x_btd.flatten(0, 1).index_select(0, (rows_bn.clamp(min=0) + begin).flatten())
    return taken.view(batch, rows_bn.shape[1], width)


@torch.no_grad()
def _share(part_bnsd: Tensor, other_bnsd: Tensor) -> Tensor:
    part, other = (x.float().norm(dim=-1) for x in (part_bnsd, other_bnsd))
    return part / (part + other).clamp(min=1e-12)


def _take_mask(mask_bt: Tensor, rows_bnk: Tensor) -> Tensor:
    return torch.gather(mask_bt, 1, rows_bnk.clamp(min=0).flatten(1)).view_as(rows_bnk)
