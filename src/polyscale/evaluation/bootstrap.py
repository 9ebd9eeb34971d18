"""Intervals for the mean of a dependent series, by resampling blocks of it.

In: one number per origin, in order of time, such as losses or differences of losses. Out: an `Interval`.
Labels of neighbouring origins overlap, so their losses go together; blocks longer than the overlap keep that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float64
from scipy import stats

from polyscale.market.errors import DataError

MIN_BLOCKS: Final = 4  # with fewer the spread between blocks says nothing
_BEYOND: Final = 10  # draws beyond each end of an interval: with fewer the end is an extreme, not a quantile
_CHUNK: Final = 4_000_000  # drawn blocks held in memory at once


@dataclass(frozen=True)
class Interval:
    """A mean and where it may lie; ``low`` and ``high`` are None where that cannot be told, with a reason."""

    mean: float
    low: float | None
    high: float | None
    level: float
    reason: str = ""

    def below(self, value: float) -> bool:
        """Whether the whole interval lies under ``value``; False where there is no interval."""
        return self.high is not None and self.high < value

    def above(self, value: float) -> bool:
        """Whether the whole interval lies over ``value``; False where there is no interval."""
        return self.low is not None and self.low > value


@dataclass(frozen=True)
class Bootstrap:
    """How to resample: ``block_length`` in origins, ``level`` of the interval, draws and their seed."""

    block_length: int
    level: float = 0.95
    num_draws: int = 2000
    seed: int = 0

    def at(self, level: float) -> Bootstrap:
        """Return the same resampling for another level, with draws enough for its tails."""
        enough = math.ceil(2 * _BEYOND / (1.0 - level) - 1e-9) if level < 1.0 else self.num_draws
        return replace(self, level=level, num_draws=max(self.num_draws, enough))


def block_length(num_origins: int, horizon: int) -> int:
    """Origins in a block: three horizons, at least twice the cube root of the number of origins.

    Blocks of one horizon would see only two thirds of the variance that overlapping labels put into a mean,
    blocks of three see nine tenths. The cube root is the usual rate for dependence of unknown length (calm
    and wild days); twice it keeps a nominal 95 % above 92 % at an autocorrelation of 0.8.
    """
    return max(3 * horizon, math.ceil(2 * num_origins ** (1 / 3)))


def mean_interval(values: Float64[np.ndarray, " n"], bootstrap: Bootstrap) -> Interval:
    """Mean with an interval from a circular block bootstrap (Politis and Romano 1992).

    Percentiles of the resampled means about the mean, widened for few blocks: by sqrt(n / (n - block)),
    the variance that is lost with the sample's own mean, and by Student's quantile over the normal one with
    as many degrees of freedom as blocks less one. Without this a nominal 95 % holds 89 % at twelve blocks.

    Parameters
    ----------
    values
        In order of time, finite.
    bootstrap
        Block length, level, draws, seed.

    Raises
    ------
    DataError
        If ``values`` is empty or holds a number that is not finite.
    """
    if values.size == 0 or not np.isfinite(values).all():
        raise DataError(
            f"a mean needs finite values, at least one, got {values.size} with "
            f"{int((~np.isfinite(values)).sum())} not finite; leave the others out first"
        )
    num_blocks = values.size / bootstrap.block_length
    return percentile_interval(
        float(values.mean()), resampled_means(values, bootstrap), num_blocks, bootstrap
    )


def percentile_interval(
    estimate: float, draws: Float64[np.ndarray, " draws"], num_blocks: float, bootstrap: Bootstrap
) -> Interval:
    """Interval of an estimate from its resampled values, widened for few blocks as in `mean_interval`.

    Parameters
    ----------
    estimate
        Of the sample itself.
    draws
        Of samples made of drawn blocks.
    num_blocks
        Blocks that the estimate rests on; below `MIN_BLOCKS` there is no interval but a reason.
    bootstrap
        Level, and the block length that a reason names.
    """
    if num_blocks < MIN_BLOCKS:
        num = round(num_blocks * bootstrap.block_length)
        reason = f"{num} origins make fewer than {MIN_BLOCKS} blocks of {bootstrap.block_length}"
        return Interval(estimate, None, None, bootstrap.level, reason)
    tail = (1.0 - bootstrap.level) / 2.0
    low, high = np.quantile(draws - estimate, [tail, 1.0 - tail])
    wide = stats.t.ppf(1.0 - tail, num_blocks - 1.0) / stats.norm.ppf(1.0 - tail)
    wide *= math.sqrt(num_blocks / (num_blocks - 1.0))
    return Interval(estimate, estimate + float(low * wide), estimate + float(high * wide), bootstrap.level)


def resampled_means(values: Float64[np.ndarray, " n"], bootstrap: Bootstrap) -> Float64[np.ndarray, " draws"]:
    """Means of series made of blocks drawn from ``values``, which is taken as a circle.

    Every draw has exactly as many values as the series: whole blocks and a shorter one. Sums of blocks come
    from one running sum, so a draw costs one look-up per block.
    """
    rng = np.random.default_rng(bootstrap.seed)
    num_whole, rest = divmod(values.size, bootstrap.block_length)
    centre = values.mean()
    whole = _circular_sums(values - centre, bootstrap.block_length)
    sums = whole[0:0]
    rows = max(1, _CHUNK // max(1, num_whole))
    for start in range(0, bootstrap.num_draws, rows):
        shape = (min(rows, bootstrap.num_draws - start), num_whole)
        sums = np.append(sums, whole[rng.integers(values.size, size=shape)].sum(axis=1))
    if rest:
        shorter = _circular_sums(values - centre, rest)
        sums = sums + shorter[rng.integers(values.size, size=bootstrap.num_draws)]
    return centre + sums / values.size


def _circular_sums(values: Float64[np.ndarray, " n"], length: int) -> Float64[np.ndarray, " n"]:
    """Sum of ``length`` values from each position on, going round."""
    running = np.cumsum(np.concatenate([[0.0], values, values[: length - 1]]))
    return running[length:] - running[:-length]
