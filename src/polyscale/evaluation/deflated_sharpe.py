"""Whether a Sharpe ratio is more than chance, and more than the best of many trials would show by chance.

In: returns of a strategy per period, the number of strategies that were tried and how far their Sharpe ratios
were spread. Out: probabilities. All Sharpe ratios here are per period, not per year.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64
from scipy import stats

from polyscale.market.errors import DataError

_EULER: Final = 0.5772156649015329
MIN_PERIODS: Final = 30  # with fewer the skewness and kurtosis are noise


@dataclass(frozen=True)
class SharpeScore:
    """A Sharpe ratio per period, and what chance leaves of it; None, with a reason, where there is none."""

    sharpe: float | None
    probabilistic: float | None  # chance that the true ratio is above zero
    expected_max: float | None  # of the best of so many trials without skill
    deflated: float | None  # chance that the true ratio is above that
    num_periods: int
    num_trials: int
    reason: str = ""


def score_sharpe(
    returns: Float64[np.ndarray, " n"], num_trials: int, trial_variance: float | None
) -> SharpeScore:
    """Probabilistic and deflated Sharpe ratio of Bailey and Lopez de Prado (2012, 2014).

    The deflated ratio (J. Portfolio Management 40) is the probabilistic one (J. Risk 15) against the largest
    Sharpe ratio that ``num_trials`` independent trials without skill lead one to expect. Returns are taken
    as serially independent: use periods at least as long as a position is held. A ratio is claimed where
    ``deflated`` is above the confidence.

    Parameters
    ----------
    returns
        Simple returns per period less the riskless one, finite.
    num_trials
        Every variant that was looked at, those thrown away too; at least 1.
    trial_variance
        Variance of the trials' Sharpe ratios per period. None where it was not kept: then the variance that
        chance alone gives to independent trials of this length, ``1 / (n - 1)``.

    Raises
    ------
    DataError
        If a return is not finite, ``num_trials < 1`` or the variance is negative.
    """
    if not np.isfinite(returns).all():
        raise DataError(f"a Sharpe ratio needs finite returns, got {int((~np.isfinite(returns)).sum())} not")
    num = returns.size
    reason = f"{num} periods are fewer than {MIN_PERIODS}" if num < MIN_PERIODS else ""
    if not reason and np.ptp(returns) <= 1e-12 * np.abs(returns).max():
        reason = "returns do not vary"
    variance = 1.0 / max(1, num - 1) if trial_variance is None else trial_variance
    best = expected_max_sharpe(num_trials, variance)
    if reason:
        return SharpeScore(None, None, None, None, num, num_trials, reason)
    sharpe = float(returns.mean() / returns.std(ddof=1))
    skewness, kurtosis = float(stats.skew(returns)), float(stats.kurtosis(returns, fisher=False))
    return SharpeScore(
        sharpe=sharpe,
        probabilistic=probabilistic_sharpe(sharpe, num, skewness, kurtosis),
        expected_max=best,
        deflated=probabilistic_sharpe(sharpe, num, skewness, kurtosis, benchmark=best),
        num_periods=num,
        num_trials=num_trials,
    )


def probabilistic_sharpe(
    sharpe: float, num_periods: int, skewness: float, kurtosis: float, benchmark: float = 0.0
) -> float:
    """Chance that the true Sharpe ratio is above ``benchmark``, given the one observed, all per period.

    ``Phi((S - B) sqrt(n - 1) / sqrt(1 - skewness S + (kurtosis - 1) / 4 S^2))``; a normal has kurtosis 3.

    Raises
    ------
    DataError
        If there are fewer than two periods or the moments are none of a distribution.
    """
    spread = 1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2
    if num_periods < 2 or not spread > 0.0:
        raise DataError(
            "a probabilistic Sharpe ratio needs >= 2 periods and kurtosis >= 1 + skewness^2, "
            f"got {num_periods}, skewness {skewness}, kurtosis {kurtosis}"
        )
    return float(stats.norm.cdf((sharpe - benchmark) * math.sqrt(num_periods - 1) / math.sqrt(spread)))


def expected_max_sharpe(num_trials: int, variance: float) -> float:
    """Largest Sharpe ratio to expect of independent trials without skill; 0 of a single one.

    ``sqrt(V) ((1 - g) Phi^-1(1 - 1/N) + g Phi^-1(1 - 1/(N e)))``, g Euler's constant: the mean of the limit
    of the maximum of normals, within 4 % of the exact one from 5 trials on. Trials that resemble each other
    count as fewer, so N errs to the strict side.

    Raises
    ------
    DataError
        If ``num_trials < 1`` or ``variance < 0``.
    """
    if num_trials < 1 or not variance >= 0.0:
        raise DataError(f"needs num_trials >= 1 and variance >= 0, got {num_trials} and {variance}")
    if num_trials == 1:
        return 0.0
    first, second = stats.norm.isf([1.0 / num_trials, 1.0 / (num_trials * math.e)])
    return math.sqrt(variance) * float((1.0 - _EULER) * first + _EULER * second)
