"""The chapter's network as the chapter writes it: a window per scale in, one forecast per sample out.

Source: chapter 49, "Multi-scale attention for financial time series": `ScaleEncoder` and
`MultiResolutionAttention` as printed there, `LearnablePositionalEncoding` (named there, not printed) as one
learned vector per position. The heads, the forecasts that they begin at and the inputs of the origin are
ours, so that both networks are trained on the same labels with the same loss. Nothing here is slower than
plain PyTorch makes it: each scale is encoded once per window, keys and values are projected once, and the
matrix that the chapter returns on request (the mean of a softmax) is not computed. The chapter's dropout of
0.1 is part of it, and takes PyTorch's attention off its fused path: without, it trains about twice as fast.

Shapes: B windows, L rows, F features of a scale, D width, S scales.
"""

import torch
from torch import Tensor, nn

from polyscale.model.heads import Heads
from polyscale.model.network import NetworkOutput
from polyscale.model.settings import NetworkSpec

DROPOUT = 0.1
FEEDFORWARD_RATIO = 4


class LearnablePositionalEncoding(nn.Module):
    """A learned vector per position of the window."""

    def __init__(self, length: int, d_model: int) -> None:
        super().__init__()
        self.position = nn.Parameter(0.02 * torch.randn(1, length, d_model))

    def forward(self, x_bld: Tensor) -> Tensor:
        """Add the positions."""
        return x_bld + self.position[:, : x_bld.shape[1]]


class ScaleEncoder(nn.Module):
    """Projection, positions, a stack of PyTorch's encoder layers, a norm."""

    def __init__(
        self, length: int, num_features: int, d_model: int, heads: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.input_proj = nn.Linear(num_features, d_model)
        self.pos_encoding = LearnablePositionalEncoding(length, d_model)
        layer = nn.TransformerEncoderLayer(
            d_model=d_model,
            nhead=heads,
            dim_feedforward=d_model * FEEDFORWARD_RATIO,
            dropout=dropout,
            batch_first=True,
        )
        self.encoder = nn.TransformerEncoder(layer, num_layers=layers, enable_nested_tensor=False)
        self.output_norm = nn.LayerNorm(d_model)

    def forward(self, x_blf: Tensor) -> Tensor:
        """Features [B, L, F] to states [B, L, D]."""
        return self.output_norm(self.encoder(self.pos_encoding(self.input_proj(x_blf))))


class MultiResolutionAttention(nn.Module):
    """Each scale's last state asks all rows of every scale; contexts are averaged, joined and projected."""

    def __init__(self, d_model: int, heads: int, num_scales: int) -> None:
        super().__init__()
        self.head_dim = d_model // heads
        self.query_projs = nn.ModuleList(nn.Linear(d_model, d_model) for _ in range(num_scales))
        self.key_projs = nn.ModuleList(nn.Linear(d_model, d_model) for _ in range(num_scales))
        self.value_projs = nn.ModuleList(nn.Linear(d_model, d_model) for _ in range(num_scales))
        self.output_proj = nn.Linear(d_model * num_scales, d_model)

    def forward(self, states: list[Tensor]) -> Tensor:
        """States [B, L, D] of every scale to one [B, D]."""
        queries = [project(h_bld[:, -1]) for project, h_bld in zip(self.query_projs, states, strict=True)]
        keys = [project(h_bld) for project, h_bld in zip(self.key_projs, states, strict=True)]
        values = [project(h_bld) for project, h_bld in zip(self.value_projs, states, strict=True)]
        attended = []
        for query in queries:
            contexts = []
            for key, value in zip(keys, values, strict=True):
                scores = torch.matmul(query[:, None], key.transpose(-2, -1)) / self.head_dim**0.5
                contexts.append(torch.matmul(torch.softmax(scores, dim=-1), value)[:, 0])
            attended.append(torch.stack(contexts, dim=1).mean(dim=1))
        return self.output_proj(torch.cat(attended, dim=-1))


class ChapterNetwork(nn.Module):
    """Sizes from the spec of ours: width, layers, heads, lookbacks, horizons, levels."""

    def __init__(self, spec: NetworkSpec, dropout: float = DROPOUT) -> None:
        super().__init__()
        settings = spec.settings
        self.num_scales = len(spec.scales)
        self.encoders = nn.ModuleList(
            ScaleEncoder(length, len(names), settings.d_model, encoder.heads, encoder.layers, dropout)
            for length, names, encoder in zip(spec.lookbacks, spec.features, settings.encoders, strict=True)
        )
        self.attention = MultiResolutionAttention(settings.d_model, settings.cross_heads, self.num_scales)
        self.heads = Heads(settings.d_model, spec.num_origin_inputs, len(spec.horizons), spec.levels)

    def forward(self, windows: list[Tensor], origin_bno: Tensor, base_bnh: Tensor) -> NetworkOutput:
        """One forecast per window: N is 1.

        Scales have equal weight by construction: the chapter averages their contexts.
        """
        states = [encoder(x_blf) for encoder, x_blf in zip(self.encoders, windows, strict=True)]
        heads = self.heads(self.attention(states)[:, None], origin_bno, base_bnh)
        equal = base_bnh.new_full((1, 1, 1, 1), 1 / self.num_scales)
        equal = equal.expand(*base_bnh.shape[:2], self.num_scales, self.num_scales)
        return NetworkOutput(heads.log_variance, heads.quantiles, heads.up_logit, equal[..., 0], equal)
