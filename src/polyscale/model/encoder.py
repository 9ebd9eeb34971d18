"""One encoder per scale: a causal convolution stem, then layers of windowed attention.

Shapes: B batch, T rows of the scale, F features, D width.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from polyscale.model.reach import LayerReach, Reach
from polyscale.model.settings import EncoderSettings
from polyscale.model.windowed import WindowedAttention


class ScaleEncoder(nn.Module):
    """States of one scale: row t depends on its lookback alone, the newest row included.

    Departs from the chapter, whose encoder attends to all rows of a window in both directions at O(L^2): this
    one is causal, so that one pass serves every window, and costs O(T).
    """

    def __init__(
        self, settings: EncoderSettings, num_features: int, d_model: int, ratio: float, reach: Reach
    ) -> None:
        super().__init__()
        self.reach = reach
        self.embed = nn.Linear(num_features, d_model)
        self.stem = nn.Conv1d(d_model, d_model, reach.kernel)
        self.dropout = nn.Dropout(settings.dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(d_model, settings.heads, ratio, settings.dropout, layer) for layer in reach.layers
        )
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x_btf: Float[Tensor, "B T F"], mask_bt: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Encode; states of missing rows are there but are never read."""
        embedded = self.embed(x_btf) * mask_bt[..., None]
        padded = F.pad(embedded.transpose(1, 2), (self.reach.kernel - 1, 0))
        h_btd = self.dropout(embedded + F.gelu(self.stem(padded)).transpose(1, 2))
        for layer in self.layers:
            h_btd = layer(h_btd, mask_bt)
        return self.norm(h_btd)


class EncoderLayer(nn.Module):
    """Attention and a feed-forward part, each behind a norm and beside a residual."""

    def __init__(self, d_model: int, heads: int, ratio: float, dropout: float, reach: LayerReach) -> None:
        super().__init__()
        hidden = round(d_model * ratio)
        self.attention_norm = nn.LayerNorm(d_model)
        self.attention = WindowedAttention(d_model, heads, reach)
        self.feedforward_norm = nn.LayerNorm(d_model)
        self.feedforward = nn.Sequential(nn.Linear(d_model, hidden), nn.GELU(), nn.Linear(hidden, d_model))
        self.dropout = nn.Dropout(dropout)

    def forward(self, h_btd: Float[Tensor, "B T D"], mask_bt: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """One layer."""
        h_btd = h_btd + self.dropout(self.attention(self.attention_norm(h_btd), mask_bt))
        return h_btd + self.dropout(self.feedforward(self.feedforward_norm(h_btd)))
