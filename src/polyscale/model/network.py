"""The network: scales in, a forecast at every origin out; windows exist only as receptive fields.

Shapes: B batch (symbols, or groups x symbols), T rows and F features of a scale (its own for each), N
origins, S scales, O origin inputs, H horizons, Q quantile levels. One origin at the last row is window mode;
many origins over longer rows is stretch mode; new rows and what was carried from those before them is stream
mode: one forward, the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from polyscale.market.errors import ConfigError
from polyscale.model.across_symbols import AttentionAcrossSymbols
from polyscale.model.cross_scale import CrossScaleFusion, MultiResolutionAttention
from polyscale.model.encoder import ScaleEncoder
from polyscale.model.heads import Heads
from polyscale.model.reach import plan_reach
from polyscale.model.settings import NetworkSpec
from polyscale.model.state import NetworkState, ScaleState, check_same_shape

NONE = -(1 << 40)
"""In an alignment: no row. -1 is none as well, where nothing was carried."""


class NetworkInput(NamedTuple):
    """Rows of every scale, and the origins at which to forecast."""

    rows: Sequence[Float[Tensor, "B _ _"]]  # S tensors, features of each scale's rows
    masks: Sequence[Bool[Tensor, "B _"]]  # S tensors, False where a row is missing or not warm
    aligned: Int[
        Tensor, "B N S"
    ]  # the row of each scale known at each origin; -1 is the newest carried row; older than all: none
    origin: Float[Tensor, "B N O"]  # what belongs to the origin: time, ages of the scales, sigma
    base: Float[Tensor, "B N H"]  # the base forecast: log mean variance per base bar
    context: Sequence[
        int
    ] = ()  # first rows of each scale that no origin is aligned to; known, they cost little
    symbols: int = 1  # of a group: the batch is groups x symbols, those of a group side by side at same times


class NetworkOutput(NamedTuple):
    """A forecast per origin and horizon, and what the network looked at."""

    log_variance: Float[Tensor, "B N H"]
    quantiles: Float[Tensor, "B N H Q"]  # in units of the forecast volatility
    up_logit: Float[Tensor, "B N H"]
    scale_weights: Float[
        Tensor, "B N S"
    ]  # the gate, carried through the attention as far as it mixes; sums to 1
    cross_attention: Float[Tensor, "B N S S"]  # rows sum to 1


class _Read(NamedTuple):
    """Rows of one scale as origins read them."""

    states: Tensor  # [B, T, D]
    query: Tensor  # [B, T, D]
    key_value: Tensor  # [B, T, 2D]
    mask: Tensor  # [B, T]


class MultiScaleAttention(nn.Module):
    """One encoder per scale, attention across scales at each origin, a gate, and heads per horizon.

    By a setting, attention across the symbols of a group stands between the gate and the heads.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        settings = spec.settings
        pairs = zip(settings.encoders, spec.lookbacks, strict=True)
        reaches = [plan_reach(rows, e.layers, e.kernel, settings.key_span, e.window) for e, rows in pairs]
        self.encoders = nn.ModuleList(
            ScaleEncoder(encoder, len(names), settings.d_model, settings.feedforward_ratio, reach)
            for encoder, names, reach in zip(settings.encoders, spec.features, reaches, strict=True)
        )
        self.key_spans = [reach.key_span for reach in reaches]
        self.attention = MultiResolutionAttention(
            settings.d_model, settings.cross_heads, self.key_spans, across=settings.cross_scale
        )
        self.fusion = CrossScaleFusion(settings.d_model, len(spec.scales), gated=settings.gate)
        self.heads = Heads(settings.d_model, spec.num_origin_inputs, len(spec.horizons), spec.levels)
        self.across_symbols = (
            AttentionAcrossSymbols(settings.d_model, settings.cross_heads)
            if settings.across_symbols
            else None
        )

    def forward(self, inputs: NetworkInput, state: NetworkState | None = None) -> NetworkOutput:
        """Forecast at every origin.

        A scale takes part at an origin if its known row is there and warm. At an origin without any scale the
        heads see a zero state: finite, and of no worth; the caller masks it.

        Parameters
        ----------
        state
            What was carried from earlier rows (`empty_state` before the first); it moves on in place. Then a
            scale may have no new row, and -1 in ``aligned`` is the newest carried one; `NONE` is none.

        Raises
        ------
        ConfigError
            If shapes, scales or the state are not those of this network.
        """
        check_inputs(self.spec, inputs)
        if state is not None:
            self._check_state(state, inputs)
        if not torch.compiler.is_compiling():  # which export is, too: values are not known then
            check_alignment(self.spec, inputs, carried=state is not None)
        rows_read, aligned = self._encode(inputs, state)
        masks = [scale.mask for scale in rows_read]
        present = self._drop_scales(_present(masks, aligned))
        mixed, attention, read = self.attention(
            [scale.states for scale in rows_read],
            [scale.query for scale in rows_read],
            [scale.key_value for scale in rows_read],
            masks,
            aligned,
            present,
        )
        fused, gate = self.fusion(mixed, present)
        if self.across_symbols is not None:
            fused = self.across_symbols(fused, present.any(dim=-1), inputs.symbols)
        heads = self.heads(fused, inputs.origin, inputs.base)
        importance = (1 - read) * gate + torch.einsum("bni,bnij->bnj", read * gate, attention)
        return NetworkOutput(heads.log_variance, heads.quantiles, heads.up_logit, importance, attention)

    def empty_state(self, batch: int) -> NetworkState:
        """The state of a stream of ``batch`` symbols before its first row."""
        scales = []
        for encoder, span in zip(self.encoders, self.key_spans, strict=True):
            assert isinstance(encoder, ScaleEncoder)
            scales.append(encoder.empty_state(batch, span))
        return NetworkState(scales)

    @property
    def num_parameters(self) -> int:
        """Numbers that are learned."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def set_checkpointing(self, on: bool) -> None:
        """Whether training computes the encoders' layers again in the gradient, to save memory."""
        for encoder in self.encoders:
            assert isinstance(encoder, ScaleEncoder)
            encoder.checkpointing = on

    def _encode(self, inputs: NetworkInput, state: NetworkState | None) -> tuple[list[_Read], Tensor]:
        """What origins read of every scale, and the alignment counted in it."""
        read, shifts = [], []
        for j, (encoder, x, mask) in enumerate(zip(self.encoders, inputs.rows, inputs.masks, strict=True)):
            if state is None:
                context = inputs.context[j] if inputs.context else 0
                skip = max(0, context - (self.key_spans[j] - 1))
                states = encoder(x, mask, skip)
                read.append(_Read(states, *self.attention.project(j, states), mask[:, skip:]))
                shifts.append(-skip)
            else:
                read.append(self._read_on(j, encoder(x, mask, 0, state.scales[j]), mask, state.scales[j]))
                shifts.append(self.key_spans[j])
        return read, inputs.aligned + torch.tensor(shifts, device=inputs.aligned.device)

    def _read_on(self, scale: int, states: Tensor, mask: Tensor, carried: ScaleState) -> _Read:
        """The carried rows and the new ones, each projected once."""
        new = torch.cat([states, *self.attention.project(scale, states)], dim=-1)
        rows, mask = carried.read.extend(new, mask)
        width = self.spec.settings.d_model
        states, query, key_value = rows.split([width, width, 2 * width], dim=-1)
        return _Read(states, query, key_value, mask)

    def _drop_scales(self, present: Tensor) -> Tensor:
        """In training, take one scale from some samples, never the last one left."""
        if not self.training or self.spec.settings.scale_dropout == 0:
            return present
        batch, num_origins, num_scales = present.shape
        chosen = torch.randint(num_scales, (batch, num_origins, 1), device=present.device)
        dropped = torch.rand(batch, num_origins, 1, device=present.device) < self.spec.settings.scale_dropout
        kept = present & ~(dropped & (torch.arange(num_scales, device=present.device) == chosen))
        return torch.where(kept.any(-1, keepdim=True), kept, present)

    def _check_state(self, state: NetworkState, inputs: NetworkInput) -> None:
        if state.buffers[0].values.shape[:1] != inputs.aligned.shape[:1]:
            batch = inputs.aligned.shape[0]
            raise ConfigError(f"a state of {state.batch} symbols cannot take rows of {batch}")
        check_same_shape(self.empty_state(0), state)


def check_inputs(spec: NetworkSpec, inputs: NetworkInput) -> None:
    """Raise ConfigError, with rule and received value, if shapes do not fit the spec or one another."""
    num_scales = len(spec.scales)
    counts = {
        "tensors of rows": len(inputs.rows),
        "masks": len(inputs.masks),
        "columns of the alignment": inputs.aligned.shape[-1],
        "contexts": len(inputs.context) or num_scales,
    }
    for what, count in counts.items():
        if count != num_scales:
            raise ConfigError(f"the network reads {num_scales} scales {spec.scales}, got {count} {what}")
    if inputs.aligned.ndim != 3:
        raise ConfigError(f"the alignment must be [batch, origins, scales], got {list(inputs.aligned.shape)}")
    batch, num_origins = inputs.aligned.shape[:2]
    if inputs.symbols < 1 or batch % inputs.symbols:
        raise ConfigError(f"a batch must be whole groups of {inputs.symbols} >= 1 symbols, got {batch}")
    for name, names, x, mask in zip(spec.scales, spec.features, inputs.rows, inputs.masks, strict=True):
        if x.ndim != 3 or x.shape[-1] != len(names):
            raise ConfigError(
                f"rows of scale {name} must be [batch, rows, {len(names)} features], got {list(x.shape)}"
            )
        if mask.shape != x.shape[:2] or x.shape[0] != batch:
            raise ConfigError(
                f"rows and mask of scale {name} must be of a batch of {batch} and of one length, got "
                f"{list(x.shape[:2])} and {list(mask.shape)}"
            )
        if mask.dtype is not torch.bool:
            raise ConfigError(f"the mask of scale {name} must be boolean, got {mask.dtype}")
    widths = {"origin": (inputs.origin, spec.num_origin_inputs), "base": (inputs.base, len(spec.horizons))}
    for what, (given, width) in widths.items():
        if given.shape != (batch, num_origins, width):
            raise ConfigError(f"{what} must be [{batch}, {num_origins}, {width}], got {list(given.shape)}")


def check_alignment(spec: NetworkSpec, inputs: NetworkInput, *, carried: bool) -> None:
    """Raise ConfigError if an origin is aligned to a row that is not given, or is said to be context."""
    if inputs.aligned.numel() == 0 or inputs.aligned.is_meta:
        return
    flat = inputs.aligned.flatten(0, 1)
    wrong = (flat < -1) & (flat > NONE // 2)
    highest, lost = flat.amax(dim=0).tolist(), wrong.any(dim=0).tolist()
    for j, name in enumerate(spec.scales):
        length = inputs.rows[j].shape[1]
        if not carried and length == 0:
            raise ConfigError(f"scale {name} must have at least one row (a masked one will do), got none")
        if lost[j] or highest[j] >= length:
            raise ConfigError(
                f"origins must be aligned to rows -1..{length - 1} of scale {name} (-1 is "
                f"{'the newest carried one' if carried else 'none'}) or to NONE, got "
                f"{int(flat[wrong[:, j], j][0]) if lost[j] else highest[j]}"
            )
        context = inputs.context[j] if inputs.context and not carried else 0
        inside = (flat[:, j] >= 0) & (flat[:, j] < context)
        if context and bool(inside.any()):
            raise ConfigError(
                f"no origin may be aligned to the first {context} rows of scale {name}, which are said to be "
                f"context, got row {int(flat[inside, j][0])}"
            )


def _present(masks: Sequence[Tensor], aligned_bns: Tensor) -> Tensor:
    """Whether the row that is known at an origin is there, per scale."""
    known = [torch.gather(mask, 1, aligned_bns[..., j].clamp(min=0)) for j, mask in enumerate(masks)]
    return torch.stack(known, dim=-1) & (aligned_bns >= 0)
