"""Attention across symbols, at each origin: what one symbol hears of the others at the same close.

In: fused states of groups of symbols, and which symbols are there. Out: the states, mixed. It acts on one
origin at a time and carries nothing, so no row of another time can reach it.

Shapes: B batch = G groups x S symbols, the symbols of a group side by side; N origins, D width, H heads, E
width of a head. Symbols that ask are indexed by s, those that answer by t.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from polyscale.model.linear import Linear

_NEVER = -1e9


class AttentionAcrossSymbols(nn.Module):
    """Each symbol's fused state asks those of all symbols of its group at the same origin, its own included.

    The symbols are a set: there are no positions and no names, so that an order means nothing and a symbol
    may be missing. An absent symbol gets no mass; its own answer is finite and means nothing.
    """

    def __init__(self, d_model: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = Linear(d_model, d_model)
        self.key_value = Linear(d_model, 2 * d_model)
        self.norm = nn.LayerNorm(d_model)

    def forward(
        self, fused_bnd: Float[Tensor, "B N D"], present_bn: Bool[Tensor, "B N"], symbols: int
    ) -> Float[Tensor, "B N D"]:
        """Mix the states of each group.

        Parameters
        ----------
        present_bn
            Whether the symbol has at least one scale there.
        symbols
            Of a group. A group of one symbol attends to itself.
        """
        query = self.query(fused_bnd) * (fused_bnd.shape[-1] // self.heads) ** -0.5
        key, value = self.key_value(fused_bnd).chunk(2, dim=-1)
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).unflatten(0, (-1, symbols)) for part in (query, key, value)
        )
        there = present_bn.unflatten(0, (-1, symbols)).transpose(1, 2)[:, :, None, None]  # [G, N, 1, 1, T]
        scores = torch.einsum("gsnhe,gtnhe->gnhst", query, key).float().masked_fill(~there, _NEVER)
        weights = torch.softmax(scores, dim=-1) * there
        context = torch.einsum("gnhst,gtnhe->gsnhe", weights.to(value.dtype), value)
        return self.norm(fused_bnd + context.flatten(-2).flatten(0, 1))
