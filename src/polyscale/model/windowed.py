"""Causal attention in a dilated window, with learned relative positions.

Shapes: B batch, T rows, D width, H heads, E width of a head, W window, N blocks, R residues of the dilation.
Each row asks itself and the W - 1 rows at distances d, 2d, ..., (W - 1) d before it: the cost is O(T W), and
a row's answer is the same whatever stretch it stands in. Rows are sorted by their residue modulo d, cut into
blocks of W, and every block asks itself and the block before it, so that the work is dense.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from polyscale.model.reach import LayerReach

_NEVER = -1e9  # a score that becomes exactly zero in float32 beside any real one


class LearnablePositionalEncoding(nn.Module):
    """A learned score per head and distance.

    The chapter adds a learned vector per absolute position, which windows that overlap cannot share: the same
    bar stands at another position in each. A distance is the same in all of them.
    """

    inside: Tensor
    distance: Tensor

    def __init__(self, heads: int, window: int) -> None:
        super().__init__()
        # a softmax over one row is 1 whatever its score
        self.bias = nn.Parameter(torch.zeros(heads, window), requires_grad=window > 1)
        query = torch.arange(window)[:, None]
        key = torch.arange(2 * window)[None, :]
        distance = query + window - key
        self.register_buffer("inside", (distance >= 0) & (distance < window), persistent=False)
        self.register_buffer("distance", distance.clamp(0, window - 1), persistent=False)

    def forward(self) -> Float[Tensor, "H W keys"]:
        """Scores of the rows of a block against the block before it and itself; never outside the window."""
        return self.bias[:, self.distance].masked_fill(~self.inside, _NEVER)


class WindowedAttention(nn.Module):
    """Multi-head attention of each row over its dilated window; missing rows get no mass."""

    def __init__(self, d_model: int, heads: int, reach: LayerReach) -> None:
        super().__init__()
        self.heads, self.reach = heads, reach
        self.project = nn.Linear(d_model, 3 * d_model)
        self.position = LearnablePositionalEncoding(heads, reach.window)
        self.output = nn.Linear(d_model, d_model)

    def forward(self, h_btd: Float[Tensor, "B T D"], mask_bt: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Attend; a row whose whole window is missing gets zeros."""
        num_rows = h_btd.shape[1]
        blocks = self._to_blocks(self.project(h_btd))  # [B, R, N, W, 3, H, E]
        query, key, value = (part.transpose(-2, -3) for part in blocks.unbind(dim=4))  # [B, R, N, H, W, E]
        key, value = _with_previous(key), _with_previous(value)  # [B, R, N, H, 2W, E]
        valid = self._to_blocks(mask_bt[..., None]).squeeze(-1)[:, :, :, None, :]  # [B, R, N, 1, W]
        valid = _with_previous(valid[..., None])[..., 0][..., None, :] & self.position.inside
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + self.position()
        weights = torch.softmax(scores.masked_fill(~valid, _NEVER), dim=-1) * valid
        context = (weights @ value).transpose(-2, -3).flatten(-2)  # [B, R, N, W, D]
        return self.output(self._from_blocks(context, num_rows))

    def _to_blocks(self, x: Tensor) -> Tensor:
        """[B, T, C] -> [B, R, N, W, C], padded in front; C is split for queries, keys and values."""
        window, dilation = self.reach
        pad = -x.shape[1] % (window * dilation)
        x = F.pad(x, (0, 0, pad, 0))
        x = x.unflatten(1, (-1, window, dilation)).permute(0, 3, 1, 2, 4)
        return x if x.shape[-1] == 1 else x.unflatten(-1, (3, self.heads, -1))

    def _from_blocks(self, x: Tensor, num_rows: int) -> Tensor:
        rows = x.permute(0, 2, 3, 1, 4).flatten(1, 3)
        return rows[:, rows.shape[1] - num_rows :]


def _with_previous(x: Tensor) -> Tensor:
    """Put the block before each block in front of it, along the last axis but one; zeros before the first."""
    previous = F.pad(x[:, :, :-1], (0, 0) * 3 + (1, 0))
    return torch.cat([previous, x], dim=-2)
