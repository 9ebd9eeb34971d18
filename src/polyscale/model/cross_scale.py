"""Attention across scales, at each origin, and the gate that fuses what it gives.

Shapes: B batch, N origins, S scales, K key span, T rows of a scale, D width, H heads, E width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

_NEVER = -1e9


class MultiResolutionAttention(nn.Module):
    """Each scale's newest state asks the last K states of every scale.

    Inside a scale the weights are a softmax over its K states; across scales

        A_ij = softmax_j(logsumexp_k s_ijk - log n_j + b_ij)

    with n_j the number of states that scale j has there, so that a scale does not win by having more rows.
    The chapter averages the contexts of all scales with equal weight and returns the mean of a softmax, which
    is always 1 / L: its matrix says nothing. Here A is what weighs the contexts.
    """

    def __init__(self, d_model: int, heads: int, key_spans: Sequence[int]) -> None:
        super().__init__()
        self.heads, self.key_spans = heads, tuple(key_spans)
        num_scales = len(self.key_spans)
        self.query = nn.ModuleList(nn.Linear(d_model, d_model) for _ in range(num_scales))
        self.key_value = nn.ModuleList(nn.Linear(d_model, 2 * d_model) for _ in range(num_scales))
        self.recency = nn.ParameterList(nn.Parameter(torch.zeros(heads, span)) for span in self.key_spans)
        self.affinity = nn.Parameter(torch.zeros(heads, num_scales, num_scales))
        self.output = nn.Linear(d_model, d_model)
        self.norm = nn.LayerNorm(d_model)

    def forward(
        self,
        states: Sequence[Float[Tensor, "B _ D"]],
        masks: Sequence[Bool[Tensor, "B _"]],
        index_bns: Int[Tensor, "B N S"],
        present_bns: Bool[Tensor, "B N S"],
    ) -> tuple[Float[Tensor, "B N S D"], Float[Tensor, "B N S S"]]:
        """Mixed states and the attention between scales, averaged over heads (rows sum to 1).

        Parameters
        ----------
        index_bns
            Row of each scale that is known at each origin.
        present_bns
            Whether that scale takes part there.
        """
        newest = torch.stack(
            [_take(h, index_bns[..., j, None])[..., 0, :] for j, h in enumerate(states)], dim=2
        )
        query = torch.stack([project(newest[:, :, i]) for i, project in enumerate(self.query)], dim=2)
        query = query.unflatten(-1, (self.heads, -1))  # [B, N, S, H, E]
        contexts, reads = [], []
        for j, (h_btd, mask_bt) in enumerate(zip(states, masks, strict=True)):
            rows = index_bns[..., j, None] - torch.arange(self.key_spans[j], device=h_btd.device)
            valid = (rows >= 0) & torch.gather(mask_bt, 1, rows.clamp(min=0).flatten(1)).view_as(rows)
            valid = valid & present_bns[..., j, None]
            key_value = _take(self.key_value[j](h_btd), rows).unflatten(-1, (2, self.heads, -1))
            key, value = key_value.unbind(dim=3)  # [B, N, K, H, E]
            scores = (
                torch.einsum("bnshe,bnkhe->bnshk", query, key) * query.shape[-1] ** -0.5 + self.recency[j]
            )
            scores = scores.masked_fill(~valid[:, :, None, None], _NEVER)
            contexts.append(torch.einsum("bnshk,bnkhe->bnshe", torch.softmax(scores, dim=-1), value))
            reads.append(torch.logsumexp(scores, dim=-1) - valid.sum(-1).clamp(min=1).log()[..., None, None])
        across = torch.stack(reads, dim=-1) + self.affinity.transpose(0, 1)  # [B, N, S, H, S]
        across = across.masked_fill(~present_bns[:, :, None, None, :], _NEVER)
        weights = torch.softmax(across, dim=-1)
        mixed = torch.einsum("bnshj,bnjshe->bnshe", weights, torch.stack(contexts, dim=2)).flatten(-2)
        return self.norm(newest + self.output(mixed)), weights.mean(dim=3)


class CrossScaleFusion(nn.Module):
    """A softmax gate over the scales, and the weighted sum of their states.

    The chapter multiplies a static weight with a sigmoid gate, concatenates and projects, so that the
    projection can undo any weight: there the weights cannot be told from the data. A gate that sums to one
    over equal footing can.
    """

    def __init__(self, d_model: int, num_scales: int) -> None:
        super().__init__()
        self.static = nn.Parameter(torch.zeros(num_scales))
        self.dynamic = nn.ModuleList(
            nn.Sequential(nn.Linear(d_model, d_model // 4), nn.GELU(), nn.Linear(d_model // 4, 1))
            for _ in range(num_scales)
        )

    def forward(
        self, states_bnsd: Float[Tensor, "B N S D"], present_bns: Bool[Tensor, "B N S"]
    ) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "B N S"]]:
        """The fused state and the gate (sums to 1, zero where a scale is absent)."""
        dynamic = torch.cat([score(states_bnsd[:, :, i]) for i, score in enumerate(self.dynamic)], dim=-1)
        gate = torch.softmax((self.static + dynamic).masked_fill(~present_bns, _NEVER), dim=-1)
        return torch.einsum("bns,bnsd->bnd", gate, states_bnsd), gate


def _take(x_btd: Tensor, rows_bnk: Tensor) -> Tensor:
    """Rows of each batch element: [B, T, D], [B, N, K] -> [B, N, K, D]; rows below 0 give row 0."""
    batch, num_origins, span = rows_bnk.shape
    offset = torch.arange(batch, device=x_btd.device)[:, None, None] * x_btd.shape[1]
    flat = (rows_bnk.clamp(min=0) + offset).flatten()
    return x_btd.flatten(0, 1).index_select(0, flat).view(batch, num_origins, span, -1)
