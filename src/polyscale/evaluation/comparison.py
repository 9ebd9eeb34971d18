"""Whether one forecast is better than another: paired differences of their losses.

In: two series of losses on the same origins, in order of time. Out: the mean difference with intervals and
the Diebold-Mariano test. Negative says that the first is better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import stats

from polyscale.evaluation.bootstrap import Bootstrap, Interval, mean_interval
from polyscale.market.errors import DataError


@dataclass(frozen=True)
class DieboldMariano:
    """The test of equal expected loss; the numbers are None, with a reason, where it does not exist."""

    statistic: float | None  # negative: the first forecast has the smaller loss
    p_two_sided: float | None
    p_one_sided: float | None  # of the alternative that the first is better
    lag: int
    reason: str = ""


@dataclass(frozen=True)
class Difference:
    """Mean of first loss less second, at the usual level and at the one adjusted for many horizons."""

    interval: Interval
    adjusted: Interval
    test: DieboldMariano


@dataclass(frozen=True)
class Sampling:
    """What a comparison must know of the sample at one horizon."""

    horizon: int  # origins that one label spans, at least 1
    bootstrap: Bootstrap
    adjusted_level: float  # Bonferroni: of the interval that must hold at all horizons together


def difference(
    first: Float64[np.ndarray, " n"], second: Float64[np.ndarray, " n"], sampling: Sampling
) -> Difference:
    """Compare two losses, finite and in order of time, on the same origins."""
    paired = first - second
    return Difference(
        interval=mean_interval(paired, sampling.bootstrap),
        adjusted=mean_interval(paired, sampling.bootstrap.at(sampling.adjusted_level)),
        test=diebold_mariano(first, second, sampling.horizon),
    )


def diebold_mariano(
    first: Float64[np.ndarray, " n"], second: Float64[np.ndarray, " n"], horizon: int
) -> DieboldMariano:
    """Diebold-Mariano test with the small-sample correction of Harvey, Leybourne and Newbold (1997).

    The long-run variance has a Bartlett kernel with ``ceil(1.5 * horizon)`` lags, at least the cube root of
    the number of origins, for losses of calm and wild days go together for longer than labels overlap. It is
    never negative, as the original's flat kernel can be. The corrected statistic is held against Student's t
    with n - 1.

    Parameters
    ----------
    first, second
        Losses in order of time, finite.
    horizon
        Origins that one label spans, at least 1.

    Raises
    ------
    DataError
        If the lengths differ or ``horizon < 1``.
    """
    if first.shape != second.shape or horizon < 1:
        raise DataError(
            "diebold_mariano needs losses of one length and a horizon >= 1 origin, "
            f"got {first.size} and {second.size} losses, horizon {horizon}"
        )
    paired = first - second
    n = paired.size
    lag = max(math.ceil(1.5 * horizon), math.ceil(n ** (1 / 3) - 1e-9))
    if n <= lag + 1:
        return DieboldMariano(None, None, None, lag, f"{n} origins are too few for {lag} lags")
    variance = long_run_variance(paired, lag)
    if variance <= (1e-12 * float(np.abs(paired).max())) ** 2:
        return DieboldMariano(None, None, None, lag, "the difference of the two losses is constant")
    shrink = math.sqrt((n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n)
    statistic = float(shrink * paired.mean() / math.sqrt(variance / n))
    left = float(stats.t.cdf(statistic, n - 1))
    return DieboldMariano(statistic, 2.0 * min(left, 1.0 - left), left, lag)


def long_run_variance(values: Float64[np.ndarray, " n"], lag: int) -> float:
    """Newey-West variance: autocovariances to ``lag``, weighted ``1 - k / (lag + 1)``."""
    centred = values - values.mean()
    n = values.size
    autocovariance = [float(centred[k:] @ centred[: n - k]) / n for k in range(lag + 1)]
    weighted = sum((1.0 - k / (lag + 1)) * autocovariance[k] for k in range(1, lag + 1))
    return autocovariance[0] + 2.0 * weighted
