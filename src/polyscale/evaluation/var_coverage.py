"""Whether a value at risk was exceeded as often as it says, and no more often after it was exceeded.

In: for each origin, in order of time, whether the return fell to the value at risk or below; labels must not
overlap, or exceptions come in clusters by themselves. Out: likelihood ratios of Kupiec and Christoffersen,
and what chance Kupiec's test had of noticing a wrong rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy import special, stats

from polyscale.market.errors import DataError


@dataclass(frozen=True)
class LikelihoodRatio:
    """A likelihood ratio and its p-value by chi-square; None, with a reason, where there is no test."""

    statistic: float | None
    p_value: float | None
    degrees: int
    reason: str = ""


@dataclass(frozen=True)
class Power:
    """Chance that Kupiec's test refuses the nominal rate, if the true rate is this one."""

    true_rate: float
    power: float


def unconditional_coverage(exceeded: Bool[np.ndarray, " n"], rate: float) -> LikelihoodRatio:
    """Kupiec's test that exceptions come at the nominal rate (1995, J. Derivatives 3), one degree.

    ``LR = 2 (x log(x / (n p)) + (n - x) log((n - x) / (n (1 - p))))``, with 0 log 0 = 0, so that no exception
    at all has a ratio too.

    Raises
    ------
    DataError
        If there is no origin, or ``rate`` is not between 0 and 1.
    """
    _check(exceeded.size, rate)
    statistic = float(_kupiec(np.array([exceeded.sum()]), exceeded.size, rate)[0])
    return LikelihoodRatio(statistic, float(stats.chi2.sf(statistic, 1)), 1)


def coverage_power(
    num_origins: int, rate: float, true_rates: Sequence[float], size: float = 0.05
) -> tuple[Power, ...]:
    """Exact chance of refusal by Kupiec's test at the chi-square limit of ``size``, for each true rate.

    Summed over the binomial counts that are refused. At the nominal rate itself it is the exact size, which
    is not ``size``: counts are whole numbers.
    """
    _check(num_origins, rate)
    counts = np.arange(num_origins + 1)
    refused = stats.chi2.sf(_kupiec(counts, num_origins, rate), 1) < size
    return tuple(
        Power(true_rate, float(stats.binom.pmf(counts[refused], num_origins, true_rate).sum()))
        for true_rate in true_rates
    )


def independence(exceeded: Bool[np.ndarray, " n"]) -> LikelihoodRatio:
    """Christoffersen's test that an exception follows an exception as often as it follows none (1998).

    Against a Markov chain of first order (International Economic Review 39), one degree, with 0 log 0 = 0.
    It does not exist where one of the two states is followed by nothing. It needs many exceptions: at a rate
    of 1 % and 2000 origins it refuses 2 % of independent series rather than 5 %, and notices a rate of 5 %
    after an exception in one series of five, of 10 % in one of two.
    """
    moves = _transitions(exceeded)
    if (moves.sum(axis=1) == 0).any():
        which = "an exception" if moves[1].sum() == 0 else "an origin without exception"
        return LikelihoodRatio(None, None, 1, f"{which} is never followed by another origin")
    rates, together = moves[:, 1] / moves.sum(axis=1), moves[:, 1].sum() / moves.sum()
    statistic = max(0.0, 2.0 * (_log_likelihood(moves, rates) - _log_likelihood(moves, together)))
    return LikelihoodRatio(statistic, float(stats.chi2.sf(statistic, 1)), 1)


def conditional_coverage(exceeded: Bool[np.ndarray, " n"], rate: float) -> LikelihoodRatio:
    """Christoffersen's joint test of rate and independence (1998), two degrees.

    The likelihood of both sides is that of the origins after the first, as in the test of independence, so
    it is the sum of that one and Kupiec's but for the first origin. Where independence has no test this has
    none, for its two degrees would be one.
    """
    _check(exceeded.size, rate)
    alone = independence(exceeded)
    if alone.statistic is None:
        return LikelihoodRatio(None, None, 2, alone.reason)
    moves = _transitions(exceeded)
    chain = _log_likelihood(moves, moves[:, 1] / moves.sum(axis=1))
    statistic = max(0.0, 2.0 * (chain - _log_likelihood(moves, rate)))
    return LikelihoodRatio(statistic, float(stats.chi2.sf(statistic, 2)), 2)


def _check(num_origins: int, rate: float) -> None:
    if num_origins < 1 or not 0.0 < rate < 1.0:
        raise DataError(
            f"a test of coverage needs >= 1 origin and a rate between 0 and 1, got {num_origins} and {rate}"
        )


def _kupiec(counts: Int64[np.ndarray, " k"], num: int, rate: float) -> Float64[np.ndarray, " k"]:
    hit, free = counts.astype(np.float64), (num - counts).astype(np.float64)
    ratio = special.xlogy(hit, hit / (num * rate)) + special.xlogy(free, free / (num * (1.0 - rate)))
    return np.maximum(0.0, 2.0 * ratio)


def _transitions(exceeded: Bool[np.ndarray, " n"]) -> Int64[np.ndarray, "2 2"]:
    """Count moves: the row is the state before, 1 for an exception, the column the state after."""
    pairs = 2 * exceeded[:-1].astype(np.int64) + exceeded[1:]
    return np.bincount(pairs, minlength=4).reshape(2, 2)


def _log_likelihood(moves: Int64[np.ndarray, "2 2"], rate: Float64[np.ndarray, " 2"] | float) -> float:
    """Log likelihood of moves where an exception has this chance, in each state or in both alike."""
    return float((special.xlogy(moves[:, 1], rate) + special.xlog1py(moves[:, 0], -rate)).sum())
