"""How good the probability of up was.

In: returns and probabilities of one horizon. Out: a `DirectionScore`. Returns of exactly zero are neither up
nor down: they are left out and counted; but they have a rank, and a trade may end in one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from polyscale.evaluation.bootstrap import Interval, mean_interval
from polyscale.evaluation.comparison import Difference, Sampling, difference
from polyscale.evaluation.information_coefficient import information_coefficient
from polyscale.evaluation.losses import brier
from polyscale.evaluation.trade_value import TradeValue, trade_value

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
    num_independent: int  # of those that are not zero, labels that do not overlap (n_eff)
    hit_rate: Interval  # a probability of exactly one half is half a hit
    hit_rate_adjusted: Interval  # at the level adjusted for many horizons
    share_up: float  # what always saying up would have hit
    misses_less_constant: Difference  # share of misses less that of the better constant; negative: better
    brier: Interval
    brier_less_coin: Difference  # Brier score less 0.25; negative: better than a coin
    calibration_error: float  # mean gap of the reliability bins, weighted by count
    reliability: tuple[ReliabilityBin, ...]
    information_coefficient: Interval | None  # of the probability; None where it was always the same
    information_coefficient_adjusted: Interval | None
    trade: TradeValue | None  # of the likelier side; None where both were always equally likely

    @property
    def constant_hit_rate(self) -> float:
        """What the better of always up and always down would have hit: the rate to beat."""
        return max(self.share_up, 1.0 - self.share_up)

    def claims(self, min_independent: int) -> tuple[str, ...]:
        """Name what may be claimed: nothing whose adjusted interval holds the value of no skill.

        ``hit rate`` above that of the better constant; ``information coefficient`` and ``gross per trade``
        above zero. Nothing with fewer than ``min_independent`` labels that do not overlap.
        """
        if self.num_independent < min_independent:
            return ()
        rank, trade = self.information_coefficient_adjusted, self.trade
        shown = {
            "hit rate": self.hit_rate_adjusted.above(self.constant_hit_rate),
            "information coefficient": rank is not None and rank.above(0.0),
            "gross per trade": trade is not None and trade.pays(0.0),
        }
        return tuple(name for name, clear in shown.items() if clear)


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
    adjusted = sampling.bootstrap.at(sampling.adjusted_level)
    gaps = sum(b.count * abs(b.mean_probability - b.observed_frequency) for b in bins)
    constant = up if up.mean() >= 0.5 else 1.0 - up
    return DirectionScore(
        num_origins=up.size,
        num_zero=int((~moved).sum()),
        num_independent=up.size // sampling.horizon,
        hit_rate=mean_interval(hit, sampling.bootstrap),
        hit_rate_adjusted=mean_interval(hit, adjusted),
        share_up=float(up.mean()),
        misses_less_constant=difference(1.0 - hit, 1.0 - constant, sampling),
        brier=mean_interval(loss, sampling.bootstrap),
        brier_less_coin=difference(loss, np.full_like(loss, 0.25), sampling),
        calibration_error=gaps / up.size,
        reliability=bins,
        information_coefficient=information_coefficient(prob_up, returns, sampling.bootstrap),
        information_coefficient_adjusted=information_coefficient(prob_up, returns, adjusted),
        trade=trade_value(returns, np.sign(prob_up - 0.5), sampling.bootstrap, sampling.adjusted_level),
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
