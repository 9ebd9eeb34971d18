"""One encoder per scale: a causal convolution stem, then layers of attention over the past.

Shapes: B batch, T rows of the scale, F features, D width.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from polyscale.model.dropout import Dropout
from polyscale.model.hierarchy import HierarchicalAggregation
from polyscale.model.linear import Linear
from polyscale.model.reach import Levels, Reach, reach_of
from polyscale.model.settings import EncoderSettings
from polyscale.model.state import RowBuffer, ScaleState


class ScaleEncoder(nn.Module):
    """States of one scale: row t depends on its lookback alone, the newest row included.

    Departs from the chapter, whose encoder attends to all rows of a window in both directions at O(L^2): this
    one is causal, so that one pass serves every window, and costs O(T log L).
    """

    def __init__(
        self, settings: EncoderSettings, num_features: int, d_model: int, ratio: float, reach: Reach
    ) -> None:
        super().__init__()
        self.reach = reach
        self.checkpointing = False
        self.stem = ConvolutionStem(num_features, d_model, reach.kernel)
        self.dropout = Dropout(settings.dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(d_model, settings.heads, ratio, settings.dropout, levels) for levels in reach.layers
        )
        self.norm = nn.LayerNorm(d_model)

    def forward(
        self,
        x_btf: Float[Tensor, "B T F"],
        mask_bt: Bool[Tensor, "B T"],
        skip: int = 0,
        state: ScaleState | None = None,
    ) -> Float[Tensor, "B _ D"]:
        """Encode all rows but the first ``skip``; states of missing rows are there but are never read.

        Parameters
        ----------
        skip
            Rows whose own state nobody reads: they are the context of the others, and cost little.
        state
            What was carried from the rows before; it moves on.
        """
        num_rows = x_btf.shape[1]
        if num_rows == 0:
            return x_btf.new_zeros(len(x_btf), 0, self.norm.normalized_shape[0])
        h_btd = self.dropout(self.stem(x_btf, mask_bt, state.stem if state else None))
        for i, (layer, asking) in enumerate(zip(self.layers, self._asking(num_rows, skip), strict=True)):
            inputs = h_btd, mask_bt[:, num_rows - h_btd.shape[1] :], asking
            if self.checkpointing and self.training and state is None:
                h_btd = checkpoint(layer, *inputs, use_reentrant=False)
            else:
                h_btd = layer(*inputs, state.layers[i] if state else None)
        return self.norm(h_btd[:, h_btd.shape[1] - (num_rows - skip) :])

    def _asking(self, num_rows: int, skip: int) -> list[int]:
        """How many of the last rows each layer must answer, from the lowest up."""
        asking = [num_rows - skip]
        for levels in self.reach.layers[:0:-1]:
            asking.append(min(num_rows, asking[-1] + reach_of(levels) - 1))
        return asking[::-1]

    def empty_state(self, batch: int, rows_read: int) -> ScaleState:
        """The state before the first row.

        ``rows_read`` newest states, with what is projected from them, are read from outside.
        """
        width, like = self.norm.normalized_shape[0], self.norm.weight
        return ScaleState(
            stem=RowBuffer.empty(batch, self.reach.kernel - 1, self.stem.num_features, like),
            layers=[
                RowBuffer.empty(batch, reach_of(levels), 2 * width, like) for levels in self.reach.layers
            ],
            read=RowBuffer.empty(batch, rows_read, 4 * width, like),
        )


class ConvolutionStem(nn.Module):
    """An embedding of each row and a causal convolution over the last rows; it knows which are missing."""

    def __init__(self, num_features: int, d_model: int, kernel: int) -> None:
        super().__init__()
        self.num_features, self.kernel = num_features, kernel
        self.embed = Linear(num_features, d_model)
        self.convolution = Linear(kernel * (num_features + 1), d_model)

    def forward(
        self, x_btf: Float[Tensor, "B T F"], mask_bt: Bool[Tensor, "B T"], carried: RowBuffer | None = None
    ) -> Float[Tensor, "B T D"]:
        """Embed."""
        x_btf = x_btf.masked_fill(~mask_bt[..., None], 0)  # a missing row may hold NaN
        embedded = self.embed(x_btf)
        if carried is None:
            x_btf, mask_bt = F.pad(x_btf, (0, 0, self.kernel - 1, 0)), F.pad(mask_bt, (self.kernel - 1, 0))
        else:
            x_btf, mask_bt = carried.extend(x_btf, mask_bt)
        rows = torch.cat([x_btf, mask_bt[..., None].to(x_btf.dtype)], dim=-1)
        num_rows = embedded.shape[1]
        window = torch.cat([rows[:, k : k + num_rows] for k in range(self.kernel)], dim=-1)
        return embedded + F.gelu(self.convolution(window))


class EncoderLayer(nn.Module):
    """Attention and a feed-forward part, each behind a norm and beside a residual."""

    def __init__(self, d_model: int, heads: int, ratio: float, dropout: float, levels: Levels) -> None:
        super().__init__()
        hidden = round(d_model * ratio)
        self.attention_norm = nn.LayerNorm(d_model)
        self.attention = HierarchicalAggregation(d_model, heads, levels)
        self.feedforward_norm = nn.LayerNorm(d_model)
        self.feedforward = nn.Sequential(Linear(d_model, hidden), nn.GELU(), Linear(hidden, d_model))
        self.dropout = Dropout(dropout)

    def forward(
        self,
        h_btd: Float[Tensor, "B T D"],
        mask_bt: Bool[Tensor, "B T"],
        num_asking: int,
        carried: RowBuffer | None = None,
    ) -> Float[Tensor, "B Q D"]:
        """One layer, for the last ``num_asking`` rows."""
        answers = self.attention(self.attention_norm(h_btd), mask_bt, num_asking, carried)
        h_btd = h_btd[:, h_btd.shape[1] - num_asking :] + self.dropout(answers)
        return h_btd + self.dropout(self.feedforward(self.feedforward_norm(h_btd)))
