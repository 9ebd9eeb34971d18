"""The chapter's parts of the network, each the real part behind the chapter's signature.

They take windows and give one answer for their newest row. Missing rows are NaN. Shapes: B windows, L rows of
a scale, F features, D width, S scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from polyscale.market.errors import ConfigError, DataError
from polyscale.market.settings import as_config_error, whole
from polyscale.market.timeframe import Timeframe
from polyscale.model import cross_scale, encoder, hierarchy
from polyscale.model.reach import plan_levels, plan_reach, reach_of
from polyscale.model.settings import EncoderSettings

LOOKBACKS: Final = {"1m": 1_440, "5m": 288, "1h": 168, "1d": 252}
"""The chapter's table; other scales look back on 96 rows unless said."""
OTHER_LOOKBACK: Final = 96
FEEDFORWARD_RATIO: Final = 4.0
NAMES: Final = {"layers": "n_encoder_layers", "heads": "n_heads"}
"""What the chapter calls settings of ours."""
_LEAST_WIDTH: Final = 8
_KEY_SPAN: Final = 16
_WINDOW: Final = EncoderSettings().window


class LearnablePositionalEncoding(nn.Module):
    """A learned vector per distance from the newest row, added to each row; at first it is zero.

    The chapter numbers rows from the oldest, so that a row's vector depends on the length of its window. The
    encoders do not use this one: they have theirs, a score per distance, inside their attention.
    """

    def __init__(self, d_model: int, max_length: int = 1_440) -> None:
        super().__init__()
        check_width(d_model)
        whole(max_length, "max_length")
        self.distance = hierarchy.LearnablePositionalEncoding(d_model, max_length)

    def forward(self, x: Tensor) -> Tensor:
        """Rows [B, L, D] with their distance; at most ``max_length`` of them."""
        known = self.distance()
        check_states(self, x, len(known), 3)
        if x.shape[1] > known.shape[1]:
            raise ConfigError(f"rows must be at most max_length ({known.shape[1]}), got {x.shape[1]}")
        return x + known[:, : x.shape[1]].flip(1).T


class ScaleEncoder(nn.Module):
    """States of one scale's rows, each of its own lookback alone.

    The chapter lets every row see the whole window, later rows too, at a cost of O(L^2).

    Parameters
    ----------
    scale_name
        ``1min``, ``1H``: names the scale, and gives the chapter's lookback where none is said.
    lookback
        Rows on which a state depends, its own included.
    """

    def __init__(
        self,
        scale_name: str,
        input_dim: int,
        d_model: int,
        n_heads: int,
        n_layers: int,
        dropout: float = 0.1,
        *,
        lookback: int | None = None,
    ) -> None:
        super().__init__()
        check_width(d_model, n_heads)
        self.input_dim = whole(input_dim, "input_dim")
        self.scale_name = scale_name
        self.lookback = lookback_of(scale_name) if lookback is None else whole(lookback, "lookback")
        with as_config_error(NAMES | {"layers": "n_layers"}):
            settings = EncoderSettings(layers=n_layers, heads=n_heads, dropout=dropout)
        reach = plan_reach(self.lookback, n_layers, settings.kernel, 1, settings.window)
        self.encoder = encoder.ScaleEncoder(settings, input_dim, d_model, FEEDFORWARD_RATIO, reach)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, L, F] to states [B, L, D]."""
        check_states(self, x, self.input_dim, 3)
        states: Tensor = self.encoder(x, present(x))
        return states


class MultiResolutionAttention(nn.Module):
    """Each scale's newest state asks the newest states of every scale, in one softmax.

    The chapter takes a softmax per scale, averages the contexts with equal weight, and returns the mean of a
    softmax, which is 1 / L whatever was learned. Here the matrix is what weighs the contexts.
    """

    def __init__(self, d_model: int, n_heads: int, n_scales: int, *, key_span: int = _KEY_SPAN) -> None:
        super().__init__()
        check_width(d_model, n_heads)
        self.d_model, self.n_scales = d_model, whole(n_scales, "n_scales")
        whole(key_span, "key_span")
        self.attention = cross_scale.MultiResolutionAttention(d_model, n_heads, [key_span] * n_scales)
        self.average = cross_scale.CrossScaleFusion(d_model, n_scales, gated=False)

    def forward(
        self, scale_features: Sequence[Tensor], return_attention: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """States [B, L, D] of every scale to the mean of the mixed ones [B, D].

        On request also the attention [B, S, S]: how much scale i read of scale j; rows sum to 1.
        """
        check_scales(self, scale_features, self.n_scales, self.d_model, 3)
        masks = [present(states) for states in scale_features]
        states = [each.nan_to_num() for each in scale_features]
        projected = [self.attention.project(i, each) for i, each in enumerate(states)]
        queries, keys_values = zip(*projected, strict=True)
        newest = [each.shape[1] - 1 for each in states]
        rows = torch.tensor(newest, device=masks[0].device).expand(len(masks[0]), 1, -1)
        there = torch.stack([mask[:, -1:] for mask in masks], dim=-1)
        mixed, matrix, _ = self.attention(states, queries, keys_values, masks, rows, there)
        fused, _ = self.average(mixed, there)
        return fused[:, 0], matrix[:, 0] if return_attention else None


class CrossScaleFusion(nn.Module):
    """A softmax gate over the scales, and the weighted sum of their states.

    The chapter multiplies weight and gate and projects the concatenation: the projection can undo any weight.
    """

    def __init__(self, d_model: int, n_scales: int) -> None:
        super().__init__()
        check_width(d_model)
        self.d_model, self.n_scales = d_model, whole(n_scales, "n_scales")
        self.fusion = cross_scale.CrossScaleFusion(d_model, n_scales)

    def forward(
        self, scale_features: Sequence[Tensor], return_weights: bool = False
    ) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """States [B, D] of every scale to one [B, D].

        On request also the static weights [S] and the gate of each window [B, S]; both sum to 1.
        """
        check_scales(self, scale_features, self.n_scales, self.d_model, 2)
        states = torch.stack(list(scale_features), dim=1)[:, None]
        fused, gate = self.fusion(states.nan_to_num(), present(states))
        if return_weights:
            return fused[:, 0], torch.softmax(self.fusion.static, dim=0), gate[:, 0]
        return fused[:, 0]


class HierarchicalAggregation(nn.Module):
    """The newest row's attention over its past: near rows one by one, far rows as means of 2, 4, 8 and more.

    The chapter pools by strides, which fails on odd lengths and depends on where a window begins, and pays
    for attention of all rows to all rows before it pools.

    Parameters
    ----------
    n_levels
        Level l holds means of 2^l rows.
    window
        Means on every level: the newest row sees ``window * (2^n_levels - 1)`` rows.
    """

    def __init__(
        self, d_model: int, n_levels: int = 4, pool_size: int = 2, *, n_heads: int = 4, window: int = _WINDOW
    ) -> None:
        super().__init__()
        check_width(d_model, n_heads)
        self.d_model = d_model
        whole(n_levels, "n_levels")
        whole(window, "window")
        if pool_size != 2:
            raise ConfigError(f"pool_size must be 2: level l holds means of 2^l rows; got {pool_size}")
        self.levels = plan_levels(window * ((1 << n_levels) - 1), window)
        self.lookback = reach_of(self.levels)
        self.aggregation = hierarchy.HierarchicalAggregation(d_model, n_heads, self.levels)

    def forward(self, x: Tensor) -> Tensor:
        """Rows [B, L, D], of any length, to one [B, D]."""
        check_states(self, x, self.d_model, 3)
        answers: Tensor = self.aggregation(x.nan_to_num(), present(x), 1)
        return answers[:, 0]


def present(x: Tensor) -> Tensor:
    """Which rows are there: those whose numbers are all finite."""
    return x.isfinite().all(dim=-1)


def lookback_of(scale_name: str) -> int:
    """The chapter's table."""
    return LOOKBACKS.get(str(Timeframe.parse(scale_name)), OTHER_LOOKBACK)


def check_width(d_model: int, n_heads: int = 1) -> None:
    """Raise ConfigError if the width is too small, or the heads do not divide it."""
    whole(d_model, "d_model", _LEAST_WIDTH)
    if d_model % whole(n_heads, "n_heads"):
        raise ConfigError(f"n_heads must divide d_model ({d_model}), got {n_heads}")


def check_scales(
    module: nn.Module, scale_features: Sequence[Tensor], n_scales: int, width: int, ndim: int
) -> None:
    """Raise if there are more or fewer scales than were built for, or of another shape."""
    if len(scale_features) != n_scales:
        raise ConfigError(
            f"scale_features must be one tensor per scale ({n_scales}), got {len(scale_features)}"
        )
    for states in scale_features:
        check_states(module, states, width, ndim)
    batches = [len(states) for states in scale_features]
    if len(set(batches)) > 1:
        raise DataError(f"scale_features must be as many windows of every scale, got {batches}")


def check_states(module: nn.Module, x: Tensor, width: int, ndim: int) -> None:
    """Raise DataError if they are no windows of rows (3 dimensions), or states (2), of a width."""
    shape = list(x.shape) if isinstance(x, Tensor) else None
    if shape is None or len(shape) != ndim or shape[-1] != width or 0 in shape[1:]:
        wanted = f"[windows, rows, {width}]" if ndim == 3 else f"[windows, {width}]"
        raise DataError(f"x must be a tensor {wanted}, got {type(x).__name__ if shape is None else shape}")
    weights = next(module.parameters()).dtype
    if x.dtype == torch.float64 != weights:
        raise DataError(f"x must be {weights} as the weights are, got {x.dtype}; give x.to({weights})")
