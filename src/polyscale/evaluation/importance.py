"""Whether the importance that a network reports is what its forecasts rest on.

In: log variances forecast with the whole input and with a part of it taken away, and what came. Out: the
`Effect` of that part per horizon; the rank correlation of effects with the reported importance.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Final

import numpy as np
from jaxtyping import Float64
from scipy import stats

from polyscale.evaluation.bootstrap import Bootstrap, Interval, block_length, mean_interval
from polyscale.evaluation.losses import qlike
from polyscale.evaluation.settings import EvaluationSettings

_FEWEST: Final = 3  # numbers in a rank correlation
_MOST_COUNTED: Final = 8  # of which all orders are counted for the p-value: 40,320


@dataclass(frozen=True)
class Effect:
    """What a forecast does without a part of its input, at one horizon."""

    shift: float  # mean absolute change of the log volatility
    qlike: (
        Interval | None
    )  # QLIKE without it less QLIKE with it, > 0: it helped; None where no label is known


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's, over so many pairs; None, with a reason, where it does not exist."""

    value: float | None
    num: int
    p_one_sided: float | None  # chance of as high a value if all orders were alike
    reason: str = ""


def effects(
    whole: Float64[np.ndarray, "n h"],
    without: Float64[np.ndarray, "n h"],
    log_realised: Float64[np.ndarray, "n h"],
    bars_per_horizon: tuple[int, ...],
    settings: EvaluationSettings,
) -> tuple[Effect, ...]:
    """Compare log variances on the same origins, in order of time, one base bar apart (but for gaps).

    Parameters
    ----------
    log_realised
        NaN where the label is not known: those origins count for the shift alone.
    bars_per_horizon
        Base bars in each horizon, over which labels overlap.
    """
    found = []
    for i, bars in enumerate(bars_per_horizon):
        known = np.isfinite(log_realised[:, i])
        came = log_realised[known, i]
        worse = qlike(came, without[known, i]) - qlike(came, whole[known, i])
        found.append(
            Effect(
                shift=float(0.5 * np.abs(without[:, i] - whole[:, i]).mean()),
                qlike=_interval(worse, bars, settings) if known.any() else None,
            )
        )
    return tuple(found)


def rank_correlation(
    importance: Float64[np.ndarray, " s"], effect: Float64[np.ndarray, " s"]
) -> RankCorrelation:
    """Spearman's rank correlation; its p-value counts all orders where there are few numbers.

    Four numbers have 24 orders, so that even a perfect agreement has p = 1/24.
    """
    num = importance.size
    if num < _FEWEST:
        return RankCorrelation(None, num, None, f"a rank correlation needs >= {_FEWEST} numbers, got {num}")
    if np.ptp(importance) == 0 or np.ptp(effect) == 0:
        return RankCorrelation(None, num, None, "all numbers on one side are the same")
    result = stats.spearmanr(importance, effect, alternative="greater")
    value = float(result.statistic)
    if num > _MOST_COUNTED:
        return RankCorrelation(value, num, float(result.pvalue))
    a, b = stats.rankdata(importance), stats.rankdata(effect)
    orders = b[np.array(list(permutations(range(num))))] @ a  # rises with the correlation
    return RankCorrelation(value, num, float((orders >= a @ b - 1e-9).mean()))


def mean_rank_correlation(
    importance: Float64[np.ndarray, "n s"], effect: Float64[np.ndarray, "n s"]
) -> float | None:
    """Mean over origins of the rank correlation over scales; None where no origin has one.

    It rests on many origins, where that of the means rests on as many numbers as there are scales; but
    neighbouring origins go together.
    """
    if importance.shape[1] < _FEWEST:
        return None
    a, b = (stats.rankdata(x, axis=1) for x in (importance, effect))
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    spread = np.sqrt(np.square(a).sum(axis=1) * np.square(b).sum(axis=1))
    varies = spread > 0
    return float(((a * b).sum(axis=1)[varies] / spread[varies]).mean()) if varies.any() else None


def _interval(values: Float64[np.ndarray, " n"], bars: int, settings: EvaluationSettings) -> Interval:
    blocks = block_length(values.size, bars)
    return mean_interval(
        values, Bootstrap(blocks, settings.confidence, settings.num_bootstrap, settings.seed)
    )
