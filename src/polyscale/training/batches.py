"""Which stretches make the batches of an epoch: a function of (seed, epoch) and nothing else.

In: scaled panels and the origins that count. Out: batches as tensors. Each epoch begins its stretches at
another offset, so that the places where stretches meet move. Where a network attends across symbols, all
panels are cut at the same times, and these stretches stay together: a group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from polyscale.dataset.settings import DataSettings
from polyscale.dataset.stretches import ScaledPanel, Stretch, cut
from polyscale.model.network import NetworkInput
from polyscale.training.loss import Labels

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Part:
    """Panels and the origins [T] of each that belong to one part of the split."""

    panels: list[ScaledPanel]
    counted: list[Bools]
    settings: DataSettings
    grouped: bool = False  # whether a batch is made of groups of all panels, and not of single stretches

    @property
    def symbols(self) -> int:
        """Symbols of a group."""
        return len(self.panels) if self.grouped else 1


Where = list[tuple[int, int]]
"""(panel, first origin) of each stretch; in a group, a symbol that is not traded yet begins below 0."""


def epoch_batches(part: Part, stretch: int, per_batch: int, seed: int, epoch: int) -> list[Where]:
    """Where the stretches of each batch begin, shuffled over all symbols; a group counts as one stretch."""
    rng = np.random.default_rng([seed, epoch])
    units = _units(part, stretch, lambda: int(rng.integers(stretch)))
    return _joined([units[k] for k in rng.permutation(len(units))], per_batch)


def most_batches(part: Part, stretch: int, per_batch: int) -> int:
    """The most batches that any epoch can have: each line's span may hold one stretch more or less."""
    spans = [np.ptp(np.flatnonzero(line.counted)) + 1 for line in _lines(part) if line.counted.any()]
    return -(-sum(int(span + stretch - 1) // stretch + 1 for span in spans) // per_batch)


def ordered_batches(part: Part, stretch: int, per_batch: int) -> list[Where]:
    """The stretches in order, every counted origin once: for validation and forecasts."""
    return _joined(_units(part, stretch, lambda: 0), per_batch)


def shared(part: Part, batches: list[Where], rank: int, ranks: int) -> list[Where]:
    """The share of every batch that falls to one of several processes: every so manieth unit.

    Where a batch has too few, a process gets padding, so that all take as many steps.
    """
    if ranks == 1:
        return batches
    return [
        [where for unit in _units_of(part, batch)[rank::ranks] for where in unit] or _padding(part)
        for batch in batches
    ]


def dealt(part: Part, batches: list[Where], rank: int, ranks: int) -> list[Where]:
    """Whole batches that fall to one of several processes; padding for one that gets none."""
    return batches[rank::ranks] or [_padding(part)]


def _units_of(part: Part, batch: Where) -> list[Where]:
    return [batch[at : at + part.symbols] for at in range(0, len(batch), part.symbols)]


def _padding(part: Part) -> Where:
    """A unit beyond the end of its panels: nothing of it is counted."""
    return [(i, len(part.panels[i].index)) for i in range(part.symbols)]


def places(part: Part, origins: Sequence[int]) -> Where:
    """Where single origins of the first panel lie: alone, or in all panels of a group."""
    first, *_ = _lines(part)
    own = first.panels[0][1]
    return [(i, own + origin - begin) for origin in origins for i, begin in first.panels]


def load(part: Part, batches: list[Where], stretch: int) -> Iterator[tuple[NetworkInput, Labels]]:
    """Cut the batches and hand them over as tensors."""
    for where in batches:
        yield to_tensors(cut(part.panels, part.counted, where, stretch, part.settings), part.symbols)


def to_tensors(stretch: Stretch, symbols: int = 1) -> tuple[NetworkInput, Labels]:
    """Tensors over the same memory.

    Parameters
    ----------
    symbols
        Of a group. In one of several, a symbol without a bar at an origin has no scale there: its last state
        is not the market of that time, and whether its missing bar will be filled in is not known then.
    """
    as_tensor = torch.from_numpy
    index = stretch.index if symbols == 1 else np.where(stretch.traded[..., None], stretch.index, -1)
    inputs = NetworkInput(
        rows=[as_tensor(rows) for rows in stretch.rows],
        masks=[as_tensor(mask) for mask in stretch.masks],
        aligned=as_tensor(index),
        origin=as_tensor(stretch.origin),
        base=as_tensor(stretch.base),
        context=stretch.context,
        symbols=symbols,
    )
    labels = Labels(
        log_variance=as_tensor(stretch.log_variance),
        scaled_return=as_tensor(stretch.scaled_return),
        up=as_tensor(stretch.up),
        log_scale=as_tensor(stretch.log_scale),
        counted=as_tensor(stretch.counted),
    )
    return inputs, labels


class _Line(NamedTuple):
    """Times along which stretches are cut, and the panels that are cut there."""

    counted: Bools  # [T]
    panels: list[tuple[int, int]]  # panel, and where on the line its first origin lies


def _lines(part: Part) -> list[_Line]:
    """One line per panel; or one for all, from the first panel's beginning to the last one's end."""
    if not part.grouped:
        return [_Line(counted, [(i, 0)]) for i, counted in enumerate(part.counted)]
    first = min(int(panel.time_ms[0]) for panel in part.panels)
    begins = [(int(panel.time_ms[0]) - first) // part.settings.base.ms for panel in part.panels]
    ends = [at + len(counted) for at, counted in zip(begins, part.counted, strict=True)]
    anywhere = np.zeros(max(ends), dtype=bool)
    for begin, end, counted in zip(begins, ends, part.counted, strict=True):
        anywhere[begin:end] |= counted
    return [_Line(anywhere, list(enumerate(begins)))]


def _units(part: Part, stretch: int, offset: Callable[[], int]) -> list[Where]:
    """What is not torn apart: single stretches, or groups; ``offset`` is asked once per line."""
    return [
        [(i, start - begin) for i, begin in line.panels]
        for line in _lines(part)
        for start in _starts(line.counted, stretch, offset())
    ]


def _joined(units: list[Where], per_batch: int) -> list[Where]:
    """So many units to a batch."""
    return [
        [where for unit in units[at : at + per_batch] for where in unit]
        for at in range(0, len(units), per_batch)
    ]


def _starts(counted: Bools, stretch: int, offset: int) -> list[int]:
    """First origins of stretches that hold a counted origin; the first may begin before the counted ones."""
    where = np.flatnonzero(counted)
    if len(where) == 0:
        return []
    first = max(int(where[0]) - offset, 0)
    starts = range(first, int(where[-1]) + 1, stretch)
    return [start for start in starts if counted[start : start + stretch].any()]
