"""How good a forecast of variance was, beside baselines on the same origins.

In: log variances per bar, realised and forecast, of one horizon. Out: a `VolatilityScore`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from polyscale.evaluation.bootstrap import Interval, mean_interval
from polyscale.evaluation.comparison import Difference, Sampling, difference
from polyscale.evaluation.losses import qlike


@dataclass(frozen=True)
class BaselineScore:
    """A baseline's loss, and the network's less it: negative says that the network is better."""

    name: str
    qlike: Interval
    r2: float | None
    ratio: float | None  # network's mean QLIKE over the baseline's, None where that is 0
    difference: Difference


@dataclass(frozen=True)
class VolatilityScore:
    """The network's QLIKE and R2 of log variance (None where what came did not vary), and the baselines."""

    qlike: Interval
    r2: float | None
    baselines: tuple[BaselineScore, ...]


def score_volatility(
    log_realised: Float64[np.ndarray, " n"],
    log_forecast: Float64[np.ndarray, " n"],
    baselines: Mapping[str, Float64[np.ndarray, " n"]],
    sampling: Sampling,
) -> VolatilityScore:
    """Score one horizon; all arrays finite, on the same origins, in order of time."""
    loss = qlike(log_realised, log_forecast)

    def baseline(name: str, log_baseline: Float64[np.ndarray, " n"]) -> BaselineScore:
        other = qlike(log_realised, log_baseline)
        return BaselineScore(
            name=name,
            qlike=mean_interval(other, sampling.bootstrap),
            r2=r_squared(log_realised, log_baseline),
            ratio=float(loss.mean() / other.mean()) if other.mean() > 0 else None,
            difference=difference(loss, other, sampling),
        )

    return VolatilityScore(
        qlike=mean_interval(loss, sampling.bootstrap),
        r2=r_squared(log_realised, log_forecast),
        baselines=tuple(baseline(name, values) for name, values in baselines.items()),
    )


def r_squared(y: Float64[np.ndarray, " n"], forecast: Float64[np.ndarray, " n"]) -> float | None:
    """Share of the variance of ``y`` that was forecast, ``1 - SSE / SST``; None where ``y`` is constant.

    The forecast is taken as it is, without a refitted slope, so it can be negative.
    """
    total = float(np.square(y - y.mean()).sum())
    if total <= 0.0:
        return None
    return 1.0 - float(np.square(y - forecast).sum()) / total
