"""Where a forecast is better than a baseline: by month, by hour of day, by calm and wild markets.

In: two losses on the same origins, in order of time, and what to part them by, known at the origin. Out: a
`Part` per month, hour or tercile. A breakdown describes; with many parts some are clear of zero by chance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64

from polyscale.evaluation.bootstrap import (
    MIN_BLOCKS,
    Bootstrap,
    Interval,
    percentile_interval,
    resampled_means,
)
from polyscale.market.errors import DataError

_REGIMES: Final = np.array(["calm", "middle", "wild"])


@dataclass(frozen=True)
class Part:
    """Origins that go together; the difference is the first loss less the baseline's, negative: better."""

    name: str
    num_origins: int
    mean: float
    baseline_mean: float
    ratio: float | None  # None where the baseline's mean is not positive
    difference: Interval


def by_month(
    loss: Float64[np.ndarray, " n"],
    baseline: Float64[np.ndarray, " n"],
    close_time: np.ndarray,
    bootstrap: Bootstrap,
) -> tuple[Part, ...]:
    """Part by calendar month of the origin, UTC, oldest first; names such as ``2026-01``."""
    return by_name(loss, baseline, months_of(close_time), bootstrap)


def by_hour(
    loss: Float64[np.ndarray, " n"],
    baseline: Float64[np.ndarray, " n"],
    close_time: np.ndarray,
    bootstrap: Bootstrap,
) -> tuple[Part, ...]:
    """Part by hour of day of the origin, UTC; ``13`` is from 13:00 to before 14:00."""
    return by_name(loss, baseline, hours_of(close_time), bootstrap)


def by_regime(
    loss: Float64[np.ndarray, " n"],
    baseline: Float64[np.ndarray, " n"],
    volatility: Float64[np.ndarray, " n"],
    bootstrap: Bootstrap,
) -> tuple[Part, ...]:
    """Part by terciles of a volatility that was known at the origin: ``calm``, ``middle``, ``wild``.

    The terciles are those of the origins given, so their borders are known only afterwards; which origin was
    wilder than which was known at once. Not every tercile is there where many volatilities are equal.
    """
    return by_name(loss, baseline, regimes_of(volatility), bootstrap)


def months_of(time: np.ndarray) -> np.ndarray:
    """Name of the calendar month that each time lies in."""
    return time.astype("datetime64[M]").astype(str)


def hours_of(time: np.ndarray) -> np.ndarray:
    """Name of the hour of day that each time lies in."""
    hours = time.astype("datetime64[h]").astype(np.int64) % 24
    return np.char.zfill(hours.astype(str), 2)


def regimes_of(volatility: Float64[np.ndarray, " n"]) -> np.ndarray:
    """Name of the tercile that each volatility lies in; the names' order is that from calm to wild."""
    if not np.isfinite(volatility).all():
        raise DataError(
            f"volatility must be finite, got {int((~np.isfinite(volatility)).sum())} that are not"
        )
    borders = np.quantile(volatility, [1 / 3, 2 / 3]) if volatility.size else np.zeros(2)
    return _REGIMES[np.searchsorted(borders, volatility, side="left")]


def by_name(
    loss: Float64[np.ndarray, " n"],
    baseline: Float64[np.ndarray, " n"],
    names: np.ndarray,
    bootstrap: Bootstrap,
) -> tuple[Part, ...]:
    """Part by any name that each origin has, in the names' order.

    Parameters
    ----------
    loss, baseline
        Finite, in order of time, on the same origins.
    names
        One text per origin.
    bootstrap
        Block length for the whole series: blocks are drawn of all origins, whichever part they belong to, so
        that neighbours stay together however a part is scattered.

    Raises
    ------
    DataError
        If the lengths differ or a loss is not finite.
    """
    if not loss.shape == baseline.shape == names.shape or not np.isfinite([loss, baseline]).all():
        raise DataError(
            "a breakdown needs finite losses and a name for each origin, "
            f"got {loss.size}, {baseline.size} and {names.size}"
        )
    return tuple(_part(str(name), loss, baseline, names == name, bootstrap) for name in np.unique(names))


def _part(
    name: str,
    loss: Float64[np.ndarray, " n"],
    baseline: Float64[np.ndarray, " n"],
    rows: Bool[np.ndarray, " n"],
    bootstrap: Bootstrap,
) -> Part:
    mean, other = float(loss[rows].mean()), float(baseline[rows].mean())
    return Part(
        name=name,
        num_origins=int(rows.sum()),
        mean=mean,
        baseline_mean=other,
        ratio=mean / other if other > 0.0 else None,
        difference=_part_interval(loss - baseline, rows, bootstrap),
    )


def _part_interval(
    values: Float64[np.ndarray, " n"], rows: Bool[np.ndarray, " n"], bootstrap: Bootstrap
) -> Interval:
    """Interval of the mean over some rows of a series, which is drawn in blocks as a whole.

    The mean over rows is a ratio of two means over all, of which the linear part is resampled: the rows'
    distance from their mean, zero elsewhere, over the share of rows. It rests on the blocks that hold a row.
    Of 90 days of hours with a log-normal loss a nominal 95 % holds 92 to 94 %.
    """
    mean, share = float(values[rows].mean()), float(rows.mean())
    draws = resampled_means(np.where(rows, values - mean, 0.0) / share, bootstrap)
    whole = np.flatnonzero(rows) // bootstrap.block_length
    num_blocks = min(np.unique(whole).size, values.size / bootstrap.block_length)
    found = percentile_interval(mean, mean + draws, num_blocks, bootstrap)
    if found.low is not None:
        return found
    return replace(
        found, reason=f"the part is in fewer than {MIN_BLOCKS} blocks of {bootstrap.block_length} origins"
    )
