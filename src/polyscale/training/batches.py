"""Which stretches make the batches of an epoch: a function of (seed, epoch) and nothing else.

In: scaled panels and the origins that count. Out: batches as tensors. Each epoch begins its stretches at
another offset, so that the places where stretches meet move.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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


def epoch_batches(
    part: Part, stretch: int, per_batch: int, seed: int, epoch: int
) -> list[list[tuple[int, int]]]:
    """Where the stretches of each batch begin: (panel, first origin), shuffled over all symbols."""
    rng = np.random.default_rng([seed, epoch])
    where = [
        (i, first)
        for i, counted in enumerate(part.counted)
        for first in _starts(counted, stretch, int(rng.integers(stretch)))
    ]
    order = rng.permutation(len(where))
    return [[where[k] for k in order[at : at + per_batch]] for at in range(0, len(order), per_batch)]


def most_batches(part: Part, stretch: int, per_batch: int) -> int:
    """The most batches that any epoch can have: each panel's span may hold one stretch more or less."""
    spans = [np.ptp(np.flatnonzero(counted)) + 1 for counted in part.counted if counted.any()]
    return -(-sum(int(span + stretch - 1) // stretch + 1 for span in spans) // per_batch)


def ordered_batches(part: Part, stretch: int, per_batch: int) -> list[list[tuple[int, int]]]:
    """The stretches in order, every counted origin once: for validation and forecasts."""
    where = [(i, first) for i, counted in enumerate(part.counted) for first in _starts(counted, stretch, 0)]
    return [where[at : at + per_batch] for at in range(0, len(where), per_batch)]


def load(
    part: Part, batches: list[list[tuple[int, int]]], stretch: int
) -> Iterator[tuple[NetworkInput, Labels]]:
    """Cut the batches and hand them over as tensors."""
    for where in batches:
        yield to_tensors(cut(part.panels, part.counted, where, stretch, part.settings))


def to_tensors(stretch: Stretch) -> tuple[NetworkInput, Labels]:
    """Tensors over the same memory."""
    as_tensor = torch.from_numpy
    inputs = NetworkInput(
        rows=[as_tensor(rows) for rows in stretch.rows],
        masks=[as_tensor(mask) for mask in stretch.masks],
        aligned=as_tensor(stretch.index),
        origin=as_tensor(stretch.origin),
        base=as_tensor(stretch.base),
        context=stretch.context,
    )
    labels = Labels(
        log_variance=as_tensor(stretch.log_variance),
        scaled_return=as_tensor(stretch.scaled_return),
        up=as_tensor(stretch.up),
        log_scale=as_tensor(stretch.log_scale),
        counted=as_tensor(stretch.counted),
    )
    return inputs, labels


def _starts(counted: Bools, stretch: int, offset: int) -> list[int]:
    """First origins of stretches that hold a counted origin; the first may begin before the counted ones."""
    where = np.flatnonzero(counted)
    if len(where) == 0:
        return []
    first = max(int(where[0]) - offset, 0)
    starts = range(first, int(where[-1]) + 1, stretch)
    return [start for start in starts if counted[start : start + stretch].any()]
