"""Occlusion: the forecast once more, with a feature or a whole scale taken out of what the network reads.

In: a network, a scaled panel and origins. Out: log variances, to be held against those of the whole input
(`polyscale.evaluation.importance`). The weights are those that were trained: this asks what *this* network
does with an input, and not what another could do without it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from polyscale.dataset.stretches import ScaledPanel
from polyscale.forecast.predict import passes
from polyscale.model.network import MultiScaleAttention
from polyscale.training.batches import Part

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def without_scale(panel: ScaledPanel, scale: int) -> ScaledPanel:
    """All rows of a scale masked: nobody reads it, and its gate is closed.

    Training does the same in a share of the samples (``network.scale_dropout``); with a share of 0 the
    network has never seen it. An origin left without any scale is forecast from the origin's inputs alone.
    """
    masked = tuple(np.zeros_like(warm) if i == scale else warm for i, warm in enumerate(panel.warm))
    return replace(panel, warm=masked)


def without_feature(panel: ScaledPanel, scale: int, feature: int) -> ScaledPanel:
    """One feature of a scale at its training median, which is 0 after scaling, in all rows."""
    rows = panel.rows[scale].copy()
    rows[:, feature] = 0.0
    return replace(panel, rows=tuple(rows if i == scale else x for i, x in enumerate(panel.rows)))


def without_origin_inputs(panel: ScaledPanel) -> ScaledPanel:
    """Clock, ages and volatilities of the origin at their training medians; the base forecast stays."""
    return replace(panel, origin=np.zeros_like(panel.origin))


def log_variances(network: MultiScaleAttention, part: Part) -> Floats:
    """Forecast log mean variance per base bar [N, H] at every counted origin."""
    kept = [output.log_variance[counted] for output, counted in passes(network, part)]
    return torch.cat(kept).double().numpy()


def thinned(origins: Bools, at_most: int, run_length: int) -> Bools:
    """Runs of consecutive origins, evenly spread, of about ``at_most`` in all; all origins if they are fewer.

    Whole runs, since a stretch shares the work of its origins.
    """
    where = np.flatnonzero(origins)
    runs = [where[at : at + run_length] for at in range(0, len(where), run_length)]
    wanted = max(1, at_most // run_length)
    chosen = np.unique(np.linspace(0, len(runs) - 1, min(wanted, len(runs))).round().astype(int))
    kept = np.zeros_like(origins)
    kept[np.concatenate([runs[i] for i in chosen])] = True
    return kept
