"""How good an expected shortfall was: a loss for it together with its value at risk, and a test of it alone.

In: returns, and forecasts of their quantile at a low level and of their mean below it. Both forecasts are
returns, so they are negative. Out: the loss of each origin; a test whether returns beyond the value at risk
were on average what was said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from polyscale.market.errors import DataError

MIN_EXCEEDANCES: Final = 8  # with fewer the spread of what lies beyond is not known


@dataclass(frozen=True)
class ShortfallTest:
    """Test that the shortfall is right beyond the value at risk; None, with a reason, where there is none."""

    mean_residual: float | None  # (return - shortfall) / |shortfall|; negative: losses were worse than said
    p_two_sided: float | None
    p_one_sided: float | None  # of the alternative that losses were worse than said
    num_exceedances: int
    reason: str = ""


def fissler_ziegel(
    returns: Float64[np.ndarray, " n"],
    value_at_risk: Float64[np.ndarray, " n"],
    shortfall: Float64[np.ndarray, " n"],
    level: float,
) -> Float64[np.ndarray, " n"]:
    """Joint loss of value at risk v and expected shortfall e, known as FZ0; small is good.

    ``-1{y <= v} (v - y) / (p e) + v / e + log(-e) - 1``. Its expectation is least where both are right, and
    is ``log(-e)`` there; shortfall alone has no such loss (Fissler and Ziegel 2016, Ann. Statistics 44). Of
    the family it is the one whose differences do not change with the unit of the return (Patton, Ziegel and
    Chen 2019, J. Econometrics 211).

    Raises
    ------
    DataError
        If a shortfall is not negative or lies above its value at risk, a number is not finite, or ``level``
        is not between 0 and 1.
    """
    _check(returns, value_at_risk, shortfall, level)
    beyond = np.maximum(value_at_risk - returns, 0.0)
    return -beyond / (level * shortfall) + value_at_risk / shortfall + np.log(-shortfall) - 1.0


def exceedance_residuals(
    returns: Float64[np.ndarray, " n"],
    value_at_risk: Float64[np.ndarray, " n"],
    shortfall: Float64[np.ndarray, " n"],
    *,
    num_draws: int = 2000,
    seed: int = 0,
) -> ShortfallTest:
    """Test of McNeil and Frey (2000, J. Empirical Finance 7): residuals beyond the value at risk have mean 0.

    A residual is ``(y - e) / |e|`` where ``y <= v``; dividing by the shortfall stands for their division by
    the volatility, which a quantile forecast need not have. The mean is studentised and held against the
    bootstrap of centred residuals (Efron and Tibshirani 1993, algorithm 16.2), for residuals are skewed. They
    must be independent: the labels must not overlap. It tests shortfall given the value at risk, whose own
    tests are in `polyscale.evaluation.var_coverage`. At 20 exceedances of a normal or a Student's t with 4
    degrees the two-sided test refuses 5 % of true forecasts at 5 %, the one-sided test 3 to 5 %.

    Parameters
    ----------
    returns, value_at_risk, shortfall
        Finite, in order of time; shortfall is negative and not above the value at risk.
    num_draws, seed
        Of the bootstrap.
    """
    _check(returns, value_at_risk, shortfall, 0.5)
    rows = returns <= value_at_risk
    residuals = (returns[rows] - shortfall[rows]) / -shortfall[rows]
    num = residuals.size
    mean = float(residuals.mean()) if num else None
    if mean is None or num < MIN_EXCEEDANCES:
        return ShortfallTest(mean, None, None, num, f"{num} exceedances are fewer than {MIN_EXCEEDANCES}")
    if np.ptp(residuals) <= 1e-12 * np.abs(residuals).max():
        return ShortfallTest(mean, None, None, num, "all residuals beyond the value at risk are the same")
    drawn = np.random.default_rng(seed).integers(num, size=(num_draws, num))
    null = _studentised((residuals - mean)[drawn])
    found = _studentised(residuals[None, :])[0]
    worse = (1 + int((null <= found).sum())) / (num_draws + 1)
    milder = (1 + int((null >= found).sum())) / (num_draws + 1)
    return ShortfallTest(mean, min(1.0, 2.0 * min(worse, milder)), worse, num)


def _check(
    returns: Float64[np.ndarray, " n"],
    value_at_risk: Float64[np.ndarray, " n"],
    shortfall: Float64[np.ndarray, " n"],
    level: float,
) -> None:
    if not returns.shape == value_at_risk.shape == shortfall.shape:
        sizes = (returns.size, value_at_risk.size, shortfall.size)
        raise DataError(f"returns, value at risk and shortfall must have one length, got {sizes}")
    finite = np.isfinite(returns) & np.isfinite(value_at_risk) & np.isfinite(shortfall)
    broken = ~finite | (shortfall >= 0.0) | (shortfall > value_at_risk)
    if broken.any():
        raise DataError(
            "numbers must be finite, a shortfall negative and not above its value at risk, "
            f"got {int(broken.sum())} of {broken.size} origins that are not"
        )
    if not 0.0 < level < 1.0:
        raise DataError(f"level must be between 0 and 1, got {level}")


def _studentised(residuals: Float64[np.ndarray, "draws k"]) -> Float64[np.ndarray, " draws"]:
    """Mean over its standard error, by row; where a draw has no spread, an infinity with the mean's sign."""
    mean, sd = residuals.mean(axis=1), residuals.std(axis=1, ddof=1)
    error = sd / np.sqrt(residuals.shape[1])
    return np.divide(mean, error, out=np.copysign(np.inf, mean), where=error > 1e-300)
