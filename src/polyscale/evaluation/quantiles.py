"""How good quantiles of the return were: their loss, and whether they hold what they promise.

In: returns and quantiles of one horizon. Out: a `QuantileScore`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from polyscale.evaluation.bootstrap import Bootstrap, Interval, mean_interval
from polyscale.evaluation.comparison import Difference, Sampling, difference
from polyscale.evaluation.losses import pinball


@dataclass(frozen=True)
class Coverage:
    """A central interval: the share of returns that it should hold, and the share that it held."""

    nominal: float
    observed: Interval
    base: float | None  # share held by the base's interval, None without a base


@dataclass(frozen=True)
class LevelShare:
    """One quantile: the share of returns that should lie at or below it, and the share that did."""

    level: float
    observed: float
    base: float | None


@dataclass(frozen=True)
class QuantileScore:
    """Pinball loss, mean over levels, in units of return; the base's fields are None without a base."""

    pinball: Interval
    base_pinball: Interval | None
    ratio: float | None
    difference: Difference | None
    coverage: tuple[Coverage, ...]
    levels: tuple[LevelShare, ...]


def score_quantiles(
    returns: Float64[np.ndarray, " n"],
    quantiles: Float64[np.ndarray, "n q"],
    base: Float64[np.ndarray, "n q"] | None,
    levels: tuple[float, ...],
    sampling: Sampling,
) -> QuantileScore:
    """Score one horizon; all arrays finite, on the same origins, in order of time."""
    p = np.array(levels, dtype=np.float64)
    loss = pinball(returns, quantiles, p).mean(axis=1)
    base_loss = None if base is None else pinball(returns, base, p).mean(axis=1)
    compared = base_loss is not None and base_loss.mean() > 0
    return QuantileScore(
        pinball=mean_interval(loss, sampling.bootstrap),
        base_pinball=None if base_loss is None else mean_interval(base_loss, sampling.bootstrap),
        ratio=float(loss.mean() / base_loss.mean()) if base_loss is not None and compared else None,
        difference=None if base_loss is None else difference(loss, base_loss, sampling),
        coverage=_coverages(returns, quantiles, base, levels, sampling.bootstrap),
        levels=_level_shares(returns, quantiles, base, levels),
    )


def central_pairs(levels: tuple[float, ...]) -> list[tuple[int, int]]:
    """Positions (low, high) of levels p < 0.5 and 1 - p that are both there, widest interval first."""
    pairs = []
    for low, p in enumerate(levels):
        high = [k for k, other in enumerate(levels) if abs(other - (1.0 - p)) < 1e-9]
        if p < 0.5 and high:
            pairs.append((low, high[0]))
    return sorted(pairs, key=lambda pair: levels[pair[0]])


def _coverages(
    returns: Float64[np.ndarray, " n"],
    quantiles: Float64[np.ndarray, "n q"],
    base: Float64[np.ndarray, "n q"] | None,
    levels: tuple[float, ...],
    bootstrap: Bootstrap,
) -> tuple[Coverage, ...]:
    def held(q: Float64[np.ndarray, "n q"], low: int, high: int) -> Float64[np.ndarray, " n"]:
        return ((q[:, low] <= returns) & (returns <= q[:, high])).astype(np.float64)

    return tuple(
        Coverage(
            nominal=round(levels[high] - levels[low], 9),
            observed=mean_interval(held(quantiles, low, high), bootstrap),
            base=None if base is None else float(held(base, low, high).mean()),
        )
        for low, high in central_pairs(levels)
    )


def _level_shares(
    returns: Float64[np.ndarray, " n"],
    quantiles: Float64[np.ndarray, "n q"],
    base: Float64[np.ndarray, "n q"] | None,
    levels: tuple[float, ...],
) -> tuple[LevelShare, ...]:
    observed = (returns[:, None] <= quantiles).mean(axis=0)
    of_base = None if base is None else (returns[:, None] <= base).mean(axis=0)
    return tuple(
        LevelShare(level, float(observed[k]), None if of_base is None else float(of_base[k]))
        for k, level in enumerate(levels)
    )
