"""How good the probability of up was.

In: returns and probabilities of one horizon. Out: a `DirectionScore`. Returns of exactly zero are neither up
nor down: they are left out and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from polyscale.evaluation.bootstrap import Interval, mean_interval
from polyscale.evaluation.comparison import Difference, Sampling, difference
from polyscale.evaluation.losses import brier

NUM_BINS: Final = 10
_PER_BIN: Final = 20  # fewer make a frequency that says nothing


@dataclass(frozen=True)
class ReliabilityBin:
    """Origins with similar probabilities: what was said on average, and how often it came."""

    mean_probability: float
    observed_frequency: float
    count: int


@dataclass(frozen=True)
class DirectionScore:
    """Hit rate and probability score of up or down."""

    num_origins: int  # returns that are not zero
    num_zero: int
    hit_rate: Interval  # a probability of exactly one half is half a hit
    hit_rate_adjusted: Interval  # at the level adjusted for many horizons
    share_up: float  # what always saying up would have hit
    brier: Interval
    brier_less_coin: Difference  # Brier score less 0.25; negative: better than a coin
    calibration_error: float  # mean gap of the reliability bins, weighted by count
    reliability: tuple[ReliabilityBin, ...]

    @property
    def constant_hit_rate(self) -> float:
        """What the better of always up and always down would have hit: the rate to beat."""
        return max(self.share_up, 1.0 - self.share_up)


def score_direction(
    returns: Float64[np.ndarray, " n"], prob_up: Float64[np.ndarray, " n"], sampling: Sampling
) -> DirectionScore | None:
    """Score one horizon, arrays finite and in order of time; None if every return is zero."""
    moved = returns != 0.0
    up, prob = (returns[moved] > 0.0).astype(np.float64), prob_up[moved]
    if up.size == 0:
        return None
    hit = np.where(prob == 0.5, 0.5, ((prob > 0.5) == (up > 0.5)).astype(np.float64))
    loss = brier(prob, up)
    bins = reliability(prob, up)
    gaps = sum(b.count * abs(b.mean_probability - b.observed_frequency) for b in bins)
    return DirectionScore(
        num_origins=up.size,
        num_zero=int((~moved).sum()),
        hit_rate=mean_interval(hit, sampling.bootstrap),
        hit_rate_adjusted=mean_interval(hit, sampling.bootstrap.at(sampling.adjusted_level)),
        share_up=float(up.mean()),
        brier=mean_interval(loss, sampling.bootstrap),
        brier_less_coin=difference(loss, np.full_like(loss, 0.25), sampling),
        calibration_error=gaps / up.size,
        reliability=bins,
    )


def reliability(
    prob: Float64[np.ndarray, " n"], outcome: Float64[np.ndarray, " n"]
) -> tuple[ReliabilityBin, ...]:
    """Cut the origins, sorted by probability, into at most ten bins of equal count.

    Bins of equal width would put nearly all origins into one or two, for probabilities of direction stay
    close to one half.
    """
    order = np.argsort(prob, kind="stable")
    num_bins = int(np.clip(prob.size // _PER_BIN, 1, NUM_BINS))
    return tuple(
        ReliabilityBin(float(prob[rows].mean()), float(outcome[rows].mean()), int(rows.size))
        for rows in np.array_split(order, num_bins)
    )
