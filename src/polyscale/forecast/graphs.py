"""The network as two functions of plain tensors, ready to be exported: a window, and one step of a stream.

In: a network. Out: modules whose arguments are flat and have no size free but the batch's. Both call the
network's own forward; a state's rings, which are written in place, are stood in for by `NewRows`.

Shapes: B batch, L lookback, F features of a scale (its own for each), S scales, O origin inputs, H horizons,
R rows and C width of a carried buffer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from polyscale.model.network import MultiScaleAttention, NetworkInput, NetworkOutput
from polyscale.model.state import NetworkState, RowBuffer, ScaleState

OUTPUTS = NetworkOutput._fields


class NewRows(RowBuffer):
    """A buffer, oldest row first, that is not written in place: `append` makes new tensors."""

    def append(self, values_btc: Tensor, mask_bt: Tensor) -> None:
        """Take new rows in place of the oldest."""
        self.values = torch.cat([self.values, values_btc], dim=1)[:, values_btc.shape[1] :]
        self.mask = torch.cat([self.mask, mask_bt], dim=1)[:, mask_bt.shape[1] :]


class Named(NamedTuple):
    """A tensor of a graph: name, shape after the batch, whether it holds truth values."""

    name: str
    shape: tuple[int, ...]
    is_mask: bool

    def zeros(self, batch: int) -> Tensor:
        """An example of it."""
        return torch.zeros(batch, *self.shape, dtype=torch.bool if self.is_mask else torch.float32)


class WindowGraph(nn.Module):
    """One forecast per sample, at the last row of every scale; a scale whose last row is masked is absent."""

    def __init__(self, network: MultiScaleAttention) -> None:
        super().__init__()
        self.network = network
        self.lookbacks = network.spec.lookbacks

    @property
    def inputs(self) -> list[Named]:
        """Rows of every scale, their masks, origin, base."""
        spec = self.network.spec
        rows = [
            Named(f"rows_{scale}", (rows, len(names)), False)
            for scale, rows, names in zip(spec.scales, spec.lookbacks, spec.features, strict=True)
        ]
        masks = [
            Named(f"mask_{scale}", (rows,), True)
            for scale, rows in zip(spec.scales, spec.lookbacks, strict=True)
        ]
        return [*rows, *masks, *_of_origin(self.network)]

    @property
    def outputs(self) -> list[str]:
        """Names."""
        return list(OUTPUTS)

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Forecast."""
        num_scales = len(self.lookbacks)
        rows, masks, (origin, base) = given[:num_scales], given[num_scales : 2 * num_scales], given[-2:]
        context = tuple(rows - 1 for rows in self.lookbacks)
        aligned = torch.tensor(context, device=base.device).expand(base.shape[0], 1, -1)
        inputs = NetworkInput(_finite(rows, masks), masks, aligned, origin[:, None], base[:, None], context)
        return tuple(part[:, 0] for part in self.network(inputs))


class StepGraph(nn.Module):
    """The forecast at one more base bar, and the state after it.

    A scale whose bar did not close now keeps its state, and the origin reads its newest carried row.
    """

    def __init__(self, network: MultiScaleAttention) -> None:
        super().__init__()
        self.network = network
        self.num_scales = len(network.spec.scales)

    @property
    def inputs(self) -> list[Named]:
        """The new row of every scale, its mask, which scales closed, origin, base, and the state."""
        spec = self.network.spec
        rows = [
            Named(f"row_{scale}", (len(names),), False)
            for scale, names in zip(spec.scales, spec.features, strict=True)
        ]
        masks = [Named(f"mask_{scale}", (), True) for scale in spec.scales]
        closed = Named("closed", (self.num_scales,), True)
        return [*rows, *masks, closed, *_of_origin(self.network), *self.state]

    @property
    def state(self) -> list[Named]:
        """The carried tensors, named as in `NetworkState.tensors`; all zero before the first bar."""
        return [
            Named(f"state.{name}", tuple(tensor.shape[1:]), tensor.dtype is torch.bool)
            for name, tensor in self.network.empty_state(0).tensors().items()
        ]

    @property
    def outputs(self) -> list[str]:
        """Names."""
        return [*OUTPUTS, *(f"new_{named.name}" for named in self.state)]

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Take one row of every scale and forecast."""
        count = self.num_scales
        rows = [row[:, None] for row in given[:count]]
        masks = [mask[:, None] for mask in given[count : 2 * count]]
        closed, origin, base = given[2 * count : 2 * count + 3]
        old = given[2 * count + 3 :]
        state = self._state(old)
        aligned = closed.long()[:, None] - 1  # the new row, or the newest carried one
        inputs = NetworkInput(_finite(rows, masks), masks, aligned, origin[:, None], base[:, None])
        forecast = [part[:, 0] for part in self.network(inputs, state)]
        return *forecast, *self._kept(state, old, closed)

    def _state(self, tensors: Sequence[Tensor]) -> NetworkState:
        """Stand-ins for the rings, filled with what was carried."""
        pairs = iter(zip(tensors[::2], tensors[1::2], strict=True))
        return NetworkState(
            [
                ScaleState(
                    NewRows(*next(pairs)),
                    [NewRows(*next(pairs)) for _ in scale.layers],
                    NewRows(*next(pairs)),
                )
                for scale in self.network.empty_state(0).scales
            ]
        )

    def _kept(self, state: NetworkState, old: Sequence[Tensor], closed: Tensor) -> list[Tensor]:
        """The state after the bar: new where the scale's bar closed, else what it was."""
        kept, before = [], iter(old)
        for j, scale in enumerate(state.scales):
            for buffer in scale.buffers:
                values, mask, new = next(before), next(before), closed[:, j, None]
                kept.append(torch.where(new[..., None], buffer.values, values))
                kept.append((new & buffer.mask) | (~new & mask))  # onnxruntime chooses no truth values
        return kept


def _of_origin(network: MultiScaleAttention) -> list[Named]:
    spec = network.spec
    return [
        Named("origin", (spec.num_origin_inputs,), False),
        Named("base", (len(spec.horizons),), False),
    ]


def _finite(rows: Sequence[Tensor], masks: Sequence[Tensor]) -> list[Tensor]:
    """Zeros for what is masked: it may be NaN where the graph is served."""
    return [x.masked_fill(~mask[..., None], 0.0) for x, mask in zip(rows, masks, strict=True)]
