"""What a stream carries from bar to bar: for every part of the network, the last rows that it still reads.

A `RowBuffer` is a ring: a new row takes the place of the oldest, nothing is moved. `NetworkState` holds the
buffers of one batch of symbols; it can be copied, moved to a device, cut into symbols and put together again,
and saved as plain tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from polyscale.market.errors import ConfigError


@dataclass(eq=False)
class RowBuffer:
    """The last R rows: ``values`` [B, R, C], ``mask`` [B, R]; ``at`` is the place of the oldest, and next."""

    values: Tensor
    mask: Tensor
    at: int = 0

    @classmethod
    def empty(cls, batch: int, rows: int, width: int, like: Tensor) -> RowBuffer:
        """A buffer of missing rows."""
        return cls(
            like.new_zeros(batch, rows, width),
            torch.zeros(batch, rows, dtype=torch.bool, device=like.device),
        )

    def append(self, values_btc: Float[Tensor, "B T C"], mask_bt: Bool[Tensor, "B T"]) -> None:
        """Take new rows in place of the oldest."""
        rows = self.values.shape[1]
        new = min(values_btc.shape[1], rows)
        if new == 0:
            return
        if new == 1:
            self.values[:, self.at] = values_btc[:, -1].detach().to(self.values.dtype)
            self.mask[:, self.at] = mask_bt[:, -1]
        else:
            places = (self.at + torch.arange(new, device=self.values.device)) % rows
            self.values[:, places] = values_btc[:, -new:].detach().to(self.values.dtype)
            self.mask[:, places] = mask_bt[:, -new:]
        self.at = (self.at + new) % rows

    def ordered(self) -> tuple[Float[Tensor, "B R C"], Bool[Tensor, "B R"]]:
        """The rows, oldest first."""
        if self.at == 0:
            return self.values, self.mask
        return self.values.roll(-self.at, dims=1), self.mask.roll(-self.at, dims=1)

    def extend(
        self, values_btc: Float[Tensor, "B T C"], mask_bt: Bool[Tensor, "B T"]
    ) -> tuple[Float[Tensor, "B _ C"], Bool[Tensor, "B _"]]:
        """The carried rows and the new ones; the new ones are taken into the buffer."""
        values, mask = self.ordered()
        longer = torch.cat([values, values_btc], dim=1), torch.cat([mask, mask_bt], dim=1)
        self.append(values_btc, mask_bt)
        return longer


@dataclass(eq=False)
class ScaleState:
    """Buffers of one scale: inputs of the stem, keys and values of the layers, what origins read."""

    stem: RowBuffer
    layers: list[RowBuffer]
    read: RowBuffer

    @property
    def buffers(self) -> list[RowBuffer]:
        """All of them, in order."""
        return [self.stem, *self.layers, self.read]


@dataclass(eq=False)
class NetworkState:
    """Buffers of every scale for one batch of symbols. A forward pass moves them on in place."""

    scales: list[ScaleState] = field(default_factory=list)

    @property
    def buffers(self) -> list[RowBuffer]:
        """All of them, in order."""
        return [buffer for scale in self.scales for buffer in scale.buffers]

    @property
    def batch(self) -> int:
        """Symbols."""
        return self.buffers[0].values.shape[0]

    @property
    def num_bytes(self) -> int:
        """Memory of the tensors."""
        return sum(b.values.nbytes + b.mask.nbytes for b in self.buffers)

    def clone(self) -> NetworkState:
        """A copy that moves on by itself."""
        return self._map(lambda buffer: RowBuffer(buffer.values.clone(), buffer.mask.clone(), buffer.at))

    def to(self, device: torch.device | str) -> NetworkState:
        """A copy on a device."""
        return self._map(
            lambda buffer: RowBuffer(
                buffer.values.to(device, copy=True), buffer.mask.to(device, copy=True), buffer.at
            )
        )

    def select(self, symbols: Sequence[int]) -> NetworkState:
        """The state of some of the symbols, by place in the batch."""
        chosen = list(symbols)
        return self._map(lambda buffer: RowBuffer(buffer.values[chosen], buffer.mask[chosen], buffer.at))

    def _map(self, change: Callable[[RowBuffer], RowBuffer]) -> NetworkState:
        return NetworkState(
            [
                ScaleState(change(scale.stem), [change(b) for b in scale.layers], change(scale.read))
                for scale in self.scales
            ]
        )

    @staticmethod
    def stack(states: Sequence[NetworkState]) -> NetworkState:
        """One batch out of several; each may stand at another place of its rings."""
        if not states:
            raise ConfigError("a batch of states must hold at least one state, got none")
        first = states[0]
        for state in states[1:]:
            check_same_shape(first, state)
        joined = iter(
            [
                RowBuffer(
                    torch.cat([b.ordered()[0] for b in same]), torch.cat([b.ordered()[1] for b in same])
                )
                for same in zip(*(state.buffers for state in states), strict=True)
            ]
        )
        return first._map(lambda _: next(joined))

    def tensors(self) -> dict[str, Tensor]:
        """Plain tensors to save, oldest rows first: ``0.values``, ``0.mask``, ``1.values``, ..."""
        return {
            f"{i}.{name}": part.clone()
            for i, buffer in enumerate(self.buffers)
            for name, part in zip(("values", "mask"), buffer.ordered(), strict=True)
        }

    def restored(self, tensors: dict[str, Tensor]) -> NetworkState:
        """A state of this one's shape (but for the batch) with the contents of saved `tensors`."""
        wanted = {f"{i}.{name}" for i in range(len(self.buffers)) for name in ("values", "mask")}
        if tensors.keys() != wanted:
            raise ConfigError(
                f"a saved state must hold {len(wanted)} tensors of this network, got {len(tensors)}; "
                "it is of another config"
            )
        taken = iter(
            [
                RowBuffer(tensors[f"{i}.values"].clone(), tensors[f"{i}.mask"].clone())
                for i in range(len(self.buffers))
            ]
        )
        state = self._map(lambda _: next(taken))
        check_same_shape(self, state)
        return state


def check_same_shape(expected: NetworkState, state: NetworkState) -> None:
    """Raise ConfigError if a state is not one of the same network."""
    if len(expected.scales) != len(state.scales):
        raise ConfigError(
            f"a state must have {len(expected.scales)} scales, got {len(state.scales)}: another config"
        )
    if len(expected.buffers) != len(state.buffers):
        raise ConfigError(
            f"a state must have {len(expected.buffers)} buffers, got {len(state.buffers)}: another config"
        )
    for wanted, found in zip(expected.buffers, state.buffers, strict=True):
        shapes = tuple(wanted.values.shape[1:]), tuple(found.values.shape[1:])
        if shapes[0] != shapes[1]:
            raise ConfigError(
                f"a state's buffer must have (rows, width) {shapes[0]}, got {shapes[1]}: another config"
            )
        if found.mask.shape != (state.batch, shapes[1][0]) or found.values.shape[0] != state.batch:
            raise ConfigError(
                f"a state's values and masks must be of {state.batch} symbols and of the same rows, got "
                f"{list(found.values.shape)} and {list(found.mask.shape)}"
            )
