"""All forecasts of one symbol on the same origins: who is better than whom, at every horizon.

In: log variances and quantiles of the network and of its rivals, what came. Out: a `Contest` of plain
numbers: losses, ratios, Diebold-Mariano tests of the network against each rival, the model confidence set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from polyscale.evaluation.bootstrap import Bootstrap, block_length
from polyscale.evaluation.comparison import diebold_mariano
from polyscale.evaluation.confidence_set import model_confidence_set
from polyscale.evaluation.crps import crps
from polyscale.evaluation.losses import pinball, qlike
from polyscale.evaluation.settings import EvaluationSettings
from polyscale.market.errors import DataError
from polyscale.market.forecast import Floats

CONFIDENCE = 0.90  # of the set of models


@dataclass(frozen=True, eq=False)
class Entry:
    """One forecast: log mean variance per bar [N, H], and quantiles of the return [N, H, Q]."""

    log_variance: Floats
    quantiles: Floats


@dataclass(frozen=True)
class Loss:
    """A mean loss; the network's over it, and the chance of that if the network were not better."""

    mean: float
    ratio: float | None  # network's mean over this one's; None for the network itself
    p_value: float | None  # one-sided, Diebold-Mariano


@dataclass(frozen=True)
class Standing:
    """One forecast at one horizon."""

    qlike: Loss
    pinball: Loss  # mean over levels, in units of return
    crps: Loss  # in units of return
    in_confidence_set: bool | None  # of QLIKE at 90 %; None where there is no set


@dataclass(frozen=True)
class Contest:
    """By horizon and name; the network's own is among them."""

    num_origins: tuple[int, ...]  # [H] where all are known
    standings: tuple[Mapping[str, Standing], ...]  # [H]


def contest(
    network: str,
    entries: Mapping[str, Entry],
    log_variance: Floats,
    returns: Floats,
    levels: tuple[float, ...],
    bars_per_horizon: Sequence[int],
    step_bars: int,
    settings: EvaluationSettings,
) -> Contest:
    """Hold all entries against what came.

    Parameters
    ----------
    network
        Name of the entry that the others are rivals of.
    log_variance, returns
        [N, H] what came, NaN where the label is not known.
    bars_per_horizon, step_bars
        Base bars in each horizon, and between origins.

    Raises
    ------
    DataError
        If the network is not among the entries, or shapes differ.
    """
    shapes = {name: entry.log_variance.shape for name, entry in entries.items()}
    if network not in entries or {*shapes.values(), returns.shape} != {log_variance.shape}:
        raise DataError(
            f"a contest needs {network!r} and entries of shape {log_variance.shape}, got {shapes}"
        )
    nums, standings = [], []
    for h, bars in enumerate(bars_per_horizon):
        rows = np.isfinite(log_variance[:, h]) & np.isfinite(returns[:, h])
        for entry in entries.values():
            rows &= np.isfinite(entry.log_variance[:, h]) & np.isfinite(entry.quantiles[:, h]).all(axis=1)
        nums.append(int(rows.sum()))
        span = max(1, math.ceil(bars / step_bars))
        standings.append(_standings(network, entries, log_variance, returns, levels, h, rows, span, settings))
    return Contest(tuple(nums), tuple(standings))


def _standings(
    network: str,
    entries: Mapping[str, Entry],
    log_variance: Floats,
    returns: Floats,
    levels: tuple[float, ...],
    h: int,
    rows: np.ndarray,
    span: int,
    settings: EvaluationSettings,
) -> dict[str, Standing]:
    if not rows.any():
        return {}
    p, came, realised = np.array(levels), returns[rows, h], log_variance[rows, h]
    losses = {
        name: (
            qlike(realised, entry.log_variance[rows, h]),
            pinball(came, entry.quantiles[rows, h], p).mean(axis=1),
            crps(came, entry.quantiles[rows, h], p),
        )
        for name, entry in entries.items()
    }
    bootstrap = Bootstrap(
        block_length(len(came), span), settings.confidence, settings.num_bootstrap, settings.seed
    )
    best = model_confidence_set({name: each[0] for name, each in losses.items()}, bootstrap, CONFIDENCE)
    own = losses[network]
    return {
        name: Standing(
            qlike=_loss(own[0], each[0], span, rival=name != network),
            pinball=_loss(own[1], each[1], span, rival=name != network),
            crps=_loss(own[2], each[2], span, rival=name != network),
            in_confidence_set=best.holds(name),
        )
        for name, each in losses.items()
    }


def _loss(own: Floats, other: Floats, span: int, *, rival: bool) -> Loss:
    mean = float(other.mean())
    if not rival:
        return Loss(mean, None, None)
    test = diebold_mariano(own, other, span)
    return Loss(mean, float(own.mean()) / mean if mean > 0 else None, test.p_one_sided)
