"""How likely it is that a search chose its parameters by luck: every half of the time chooses for the other.

In: returns per period of every parameter set that was tried. Out: an `Overfitting`: how often the set that
was best in one half of the time is among the lower half of the sets in the other. All Sharpe ratios are per
period. It judges the search, not the set that came out of it: that is `polyscale.evaluation.deflated_sharpe`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float64

from polyscale.evaluation.deflated_sharpe import MIN_PERIODS
from polyscale.market.errors import DataError

# Shapes: t periods, n parameter sets, b blocks of periods, s splits of the blocks into halves.
MAX_BLOCKS: Final = 20  # 184,756 splits; each two blocks more take four times as long
_FLAT: Final = 1e-12  # variance over mean square: a ratio of a million is rounding, not skill
_SAME: Final = 1e-9  # ratios no further apart are tied: one strategy at two sizes differs by rounding
_CHUNK: Final = 100_000  # ratios at once: they stay in the processor's cache


@dataclass(frozen=True, eq=False)
class Overfitting:
    """What the halves say of a search; None, with a reason, where they say nothing."""

    probability: float | None  # share of splits whose choice is at or below the median of the other half
    probability_of_loss: float | None  # share of splits whose choice has a ratio below 0 in the other half
    degradation: float | None  # slope of the choice's ratio there on that here; None if that never varied
    logits_s: Float64[np.ndarray, " s"]  # of the choice's relative rank; below 0 is below the median
    num_sets: int
    num_splits: int
    reason: str = ""


def measure_overfitting(returns_tn: Float64[np.ndarray, "t n"], num_blocks: int = 16) -> Overfitting:
    """Probability of backtest overfitting by combinatorially symmetric cross-validation.

    Bailey, Borwein, Lopez de Prado and Zhu (2017, J. Computational Finance 20). The periods are cut into
    blocks; every choice of half of them is a split. In each split the set with the best Sharpe ratio in the
    chosen half is looked up in the other one, where its rank among n sets gives
    ``logit = log(rank / (n + 1 - rank))``. The probability is the share of logits <= 0: 1/2 in the mean
    where sets are noise, near 0 where one of them is better than the rest throughout. Splits share their
    periods, so one search tells less than their number suggests: of searches among 20 sets of noise over
    400 periods nine in ten come out between 0.2 and 0.9, among 200 sets between 0.3 and 0.7.

    What the definition leaves open is settled against the search. A choice exactly at the median counts as
    overfit (noise in an odd number of sets gives ``(n + 1) / 2n``). Tied ranks are averaged, so n copies of
    one strategy give 1. Of sets tied for the best here, the one that is worst there is taken: the order of
    the columns does not matter. A set whose returns do not vary in a half, because it never traded, has no
    ratio: it ranks as cash, with a ratio of 0, above those that lose.

    ``degradation`` needs care. What one half has more, the other has less, so that a slope near -1 follows
    from arithmetic alone where the same set wins everywhere; what speaks for a search is the probability.

    Parameters
    ----------
    returns_tn
        Simple returns less the riskless one, finite, in order of time: all sets that were looked at, those
        thrown away too.
    num_blocks
        Even, from 2 to `MAX_BLOCKS`. Blocks differ by a period at most, so no period is left out; they should
        be longer than a position is held.

    Raises
    ------
    DataError
        If a return is not finite or the number of blocks is odd or out of range.
    """
    _check(returns_tn, num_blocks)
    num_sets = returns_tn.shape[1]
    reason = _why_not(returns_tn)
    if reason:
        return Overfitting(None, None, None, np.empty(0), num_sets, 0, reason)
    blocks, halves_sb = _sum_blocks(returns_tn, num_blocks), _halves(num_blocks)
    rows = max(1, _CHUNK // num_sets)
    chunks = [_choose(halves_sb[i : i + rows], blocks) for i in range(0, len(halves_sb), rows)]
    here_s, there_s, logits_s = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    return Overfitting(
        probability=float((logits_s <= 0.0).mean()),
        probability_of_loss=float((there_s < -_SAME).mean()),
        degradation=_slope(here_s, there_s),
        logits_s=logits_s,
        num_sets=num_sets,
        num_splits=logits_s.size,
    )


def _check(returns_tn: Float64[np.ndarray, "t n"], num_blocks: int) -> None:
    if num_blocks % 2 or not 2 <= num_blocks <= MAX_BLOCKS:
        raise DataError(f"num_blocks must be even, from 2 to {MAX_BLOCKS}, got {num_blocks}")
    broken = int((~np.isfinite(returns_tn)).sum())
    if broken:
        raise DataError(f"overfitting is measured on finite returns, got {broken} not finite")


def _why_not(returns_tn: Float64[np.ndarray, "t n"]) -> str:
    """Return why there is no probability, or nothing."""
    num_periods, num_sets = returns_tn.shape
    if num_sets < 2:
        return f"a choice is among at least two parameter sets, got {num_sets}"
    if num_periods < 2 * MIN_PERIODS:
        return f"{num_periods} periods are fewer than the {2 * MIN_PERIODS} of {MIN_PERIODS} in each half"
    if not np.ptp(returns_tn, axis=0).any():
        return "the returns of no parameter set vary"
    return ""


class _Blocks(NamedTuple):
    """What a Sharpe ratio needs of each block: sums add up over any choice of blocks."""

    lengths_b: Float64[np.ndarray, " b"]
    sums_bn: Float64[np.ndarray, "b n"]
    squares_bn: Float64[np.ndarray, "b n"]


def _sum_blocks(returns_tn: Float64[np.ndarray, "t n"], num_blocks: int) -> _Blocks:
    parts = np.array_split(returns_tn, num_blocks)
    return _Blocks(
        np.array([float(len(part)) for part in parts]),
        np.array([part.sum(axis=0) for part in parts]),
        np.array([np.square(part).sum(axis=0) for part in parts]),
    )


def _halves(num_blocks: int) -> Float64[np.ndarray, "s b"]:
    """Ones where a block is in the half that chooses, one row for every way to take half of the blocks."""
    taken = np.array(list(combinations(range(num_blocks), num_blocks // 2)))
    halves_sb = np.zeros((len(taken), num_blocks))
    np.put_along_axis(halves_sb, taken, 1.0, axis=1)
    return halves_sb


def _choose(
    halves_sb: Float64[np.ndarray, "s b"], blocks: _Blocks
) -> tuple[Float64[np.ndarray, " s"], Float64[np.ndarray, " s"], Float64[np.ndarray, " s"]]:
    """Ratio of the choice in its own half and in the other one, and the logit of its rank there."""
    here_sn, there_sn = _sharpe_ratios(halves_sb, blocks), _sharpe_ratios(1.0 - halves_sb, blocks)
    best_s = here_sn.max(axis=1)
    tied_sn = here_sn >= best_s[:, None] - _SAME
    chosen_s = np.where(tied_sn, there_sn, np.inf).min(axis=1)
    below_s = np.count_nonzero(there_sn < chosen_s[:, None] - _SAME, axis=1)
    above_s = np.count_nonzero(there_sn > chosen_s[:, None] + _SAME, axis=1)
    # The mean rank of the tied is (n + 1 + below - above) / 2, counted from 1 for the worst.
    places, lead_s = there_sn.shape[1] + 1, below_s - above_s
    return best_s, chosen_s, np.log((places + lead_s) / (places - lead_s))


def _sharpe_ratios(halves_sb: Float64[np.ndarray, "s b"], blocks: _Blocks) -> Float64[np.ndarray, "s n"]:
    """Mean over deviation (``ddof=1``) of every set in the blocks of each row; 0 where nothing varies.

    The variance from sums of squares loses a share of some 1e-16 times one plus the squared ratio, which is
    nothing as long as the ratio is per period.
    """
    num_s1 = (halves_sb @ blocks.lengths_b)[:, None]
    mean_sn = halves_sb @ blocks.sums_bn / num_s1
    square_sn = halves_sb @ blocks.squares_bn / num_s1
    variance_sn = square_sn - np.square(mean_sn)
    varies_sn = variance_sn > _FLAT * square_sn
    deviation_sn = np.sqrt(np.where(varies_sn, variance_sn, 1.0) * (num_s1 / (num_s1 - 1.0)))
    return np.where(varies_sn, mean_sn / deviation_sn, 0.0)


def _slope(x_s: Float64[np.ndarray, " s"], y_s: Float64[np.ndarray, " s"]) -> float | None:
    """Slope of the least-squares line; None where ``x_s`` does not vary."""
    if np.ptp(x_s) <= _SAME:
        return None
    centred_s = x_s - x_s.mean()
    return float(centred_s @ y_s / (centred_s @ centred_s))
