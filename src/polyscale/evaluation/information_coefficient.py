"""How well a signal ranks the returns that follow it.

In: one signal per origin (an expected return, a probability of up) and the return, in order of time. Out: the
information coefficient with its interval. Known when the label is known.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from scipy import stats

from polyscale.evaluation.bootstrap import Bootstrap, Interval, percentile_interval, resampled_means


def information_coefficient(
    signal: Float64[np.ndarray, " n"], returns: Float64[np.ndarray, " n"], bootstrap: Bootstrap
) -> Interval | None:
    """Spearman's rank correlation of signal and return (Grinold and Kahn 2000, ch. 6), with an interval.

    Origins are ranked once, ties sharing their mean rank, and blocks of pairs of ranks are drawn; each draw
    is Pearson's correlation of its ranks. Ranking every draw again would cost far more and adds only what is
    unknown of the two distributions themselves, which cancels where the correlation is near zero: at 1500
    origins a nominal 95 % holds the truth in 93 to 95 %, at correlations of 0, 0.05 and 0.2, with persistent
    signals and overlapping labels too.

    Parameters
    ----------
    signal, returns
        Finite, in order of time.
    bootstrap
        Block length, level, draws, seed.

    Returns
    -------
    Interval | None
        None where either side is the same at all origins: then there is no rank.
    """
    if signal.size == 0 or np.ptp(signal) == 0.0 or np.ptp(returns) == 0.0:
        return None
    a, b = stats.zscore(stats.rankdata(signal)), stats.zscore(stats.rankdata(returns))
    mean_a, mean_b, square_a, square_b, product = (  # one seed: the same blocks for all five
        resampled_means(values, bootstrap) for values in (a, b, a * a, b * b, a * b)
    )
    spread = np.sqrt(np.maximum(0.0, (square_a - mean_a**2) * (square_b - mean_b**2)))
    draws = np.divide(product - mean_a * mean_b, spread, out=np.zeros_like(spread), where=spread > 1e-9)
    return percentile_interval(float((a * b).mean()), draws, signal.size / bootstrap.block_length, bootstrap)
