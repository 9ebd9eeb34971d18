"""The network: scales in, a forecast at every origin out; windows exist only as receptive fields.

Shapes: B batch, T rows and F features of a scale (its own for each), N origins, S scales, O origin inputs, H
horizons, Q quantile levels. One origin at the last row is window mode; many origins over longer rows is
stretch mode: the same forward, and the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from polyscale.market.errors import ConfigError
from polyscale.model.cross_scale import CrossScaleFusion, MultiResolutionAttention
from polyscale.model.encoder import ScaleEncoder
from polyscale.model.heads import Heads
from polyscale.model.reach import plan_reach
from polyscale.model.settings import NetworkSpec


class NetworkInput(NamedTuple):
    """Rows of every scale, and the origins at which to forecast."""

    rows: Sequence[Float[Tensor, "B _ _"]]  # S tensors, features of each scale's rows
    masks: Sequence[Bool[Tensor, "B _"]]  # S tensors, False where a row is missing or not warm
    aligned: Int[Tensor, "B N S"]  # the row of each scale that is known at each origin
    origin: Float[Tensor, "B N O"]  # what belongs to the origin: time, ages of the scales, sigma
    base: Float[Tensor, "B N H"]  # the base forecast: log mean variance per base bar


class NetworkOutput(NamedTuple):
    """A forecast per origin and horizon, and what the network looked at."""

    log_variance: Float[Tensor, "B N H"]
    quantiles: Float[Tensor, "B N H Q"]  # in units of the forecast volatility
    up_logit: Float[Tensor, "B N H"]
    scale_weights: Float[Tensor, "B N S"]  # the gate carried through the attention; sums to 1
    cross_attention: Float[Tensor, "B N S S"]  # rows sum to 1


class MultiScaleAttention(nn.Module):
    """One encoder per scale, attention across scales at each origin, a gate, and heads per horizon."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        settings = spec.settings
        pairs = zip(settings.encoders, spec.lookbacks, strict=True)
        reaches = [plan_reach(rows, e.layers, e.kernel, settings.key_span) for e, rows in pairs]
        self.encoders = nn.ModuleList(
            ScaleEncoder(encoder, len(names), settings.d_model, settings.feedforward_ratio, reach)
            for encoder, names, reach in zip(settings.encoders, spec.features, reaches, strict=True)
        )
        spans = [reach.key_span for reach in reaches]
        self.attention = MultiResolutionAttention(settings.d_model, settings.cross_heads, spans)
        self.fusion = CrossScaleFusion(settings.d_model, len(spec.scales))
        self.heads = Heads(settings.d_model, spec.num_origin_inputs, len(spec.horizons), spec.levels)

    def forward(self, inputs: NetworkInput) -> NetworkOutput:
        """Forecast at every origin.

        A scale takes part at an origin if its known row is there and warm. An origin without any scale gets
        the base forecast of a zero state; the caller masks it.
        """
        self._check(inputs)
        states = [
            encoder(x, mask)
            for encoder, x, mask in zip(self.encoders, inputs.rows, inputs.masks, strict=True)
        ]
        present = self._drop_scales(_present(inputs))
        mixed, attention = self.attention(states, inputs.masks, inputs.aligned, present)
        fused, gate = self.fusion(mixed, present)
        heads = self.heads(fused, inputs.origin, inputs.base)
        importance = torch.einsum("bni,bnij->bnj", gate, attention)
        return NetworkOutput(heads.log_variance, heads.quantiles, heads.up_logit, importance, attention)

    def _drop_scales(self, present: Tensor) -> Tensor:
        """In training, take one scale from some samples, never the last one left."""
        if not self.training or self.spec.settings.scale_dropout == 0:
            return present
        batch, num_origins, num_scales = present.shape
        chosen = torch.randint(num_scales, (batch, num_origins, 1), device=present.device)
        dropped = torch.rand(batch, num_origins, 1, device=present.device) < self.spec.settings.scale_dropout
        kept = present & ~(dropped & (torch.arange(num_scales, device=present.device) == chosen))
        return torch.where(kept.any(-1, keepdim=True), kept, present)

    def _check(self, inputs: NetworkInput) -> None:
        num_scales = len(self.spec.scales)
        if len(inputs.rows) != num_scales or inputs.aligned.shape[-1] != num_scales:
            raise ConfigError(
                f"the network reads {num_scales} scales {self.spec.scales}, got {len(inputs.rows)} tensors "
                f"of rows and an alignment of {inputs.aligned.shape[-1]}"
            )
        for name, names, x in zip(self.spec.scales, self.spec.features, inputs.rows, strict=True):
            if x.shape[-1] != len(names):
                raise ConfigError(f"rows of scale {name} must have {len(names)} features, got {x.shape[-1]}")


def _present(inputs: NetworkInput) -> Tensor:
    """Whether the row that is known at an origin is there, per scale."""
    known = [
        torch.gather(mask, 1, inputs.aligned[..., j].clamp(min=0)) for j, mask in enumerate(inputs.masks)
    ]
    return torch.stack(known, dim=-1) & (inputs.aligned >= 0)
