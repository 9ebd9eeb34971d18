"""Trailing windows over arrays, compiled: one pass, and nothing outside a window touches its row.

In: values [T] of one column on its grid, NaN where missing. Out: one number per row from the last ``bars``
rows, NaN until there are that many and wherever one of them is NaN.

A window of 2n rows is two windows of n rows: so a window of any length takes log2(bars) steps, each of them
over many rows at once, block by block in the cache. Every row is put together from its own window in the
same order, wherever it stands: an earlier crash leaves no rounding trace, a NaN spoils only the windows
that hold it, and history that begins later gives the same bits. Sums that add the new and take away the old
have none of that.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
_BLOCK: Final = 2_048  # rows that stay in the cache while all steps pass over them


def trailing_sum(values: Floats, bars: int) -> Floats:
    """Sum of the last ``bars`` rows [T]."""
    return _weighted_sum(values, bars, 1.0)


@njit(nogil=True, cache=True, error_model="numpy")
def _weighted_sum(values: Floats, bars: int, weight: float) -> Floats:
    """Sum of the last ``bars`` rows times a weight [T]."""
    num_rows, block = len(values), max(_BLOCK, 8 * bars)
    out = np.empty(num_rows)
    room = block + bars
    power, spare, total, other = np.empty(room), np.empty(room), np.empty(room), np.empty(room)
    for start in range(0, num_rows, block):
        first, end = max(start - bars + 1, 0), min(start + block, num_rows)
        rows = end - first
        _copy(values[first:end], power[:rows])
        covered, size = 0, 1  # power: sums of size rows; total: sums of the newest covered rows
        while size <= bars:
            if bars & size:
                if covered == 0:
                    _copy(power[:rows], total[:rows])
                else:
                    _add(total[covered:rows], power[: rows - covered], other[covered:rows])
                    total, other = other, total
                covered += size
            if 2 * size <= bars:
                _add(power[size:rows], power[: rows - size], spare[size:rows])
                spare[:size] = np.nan
                power, spare = spare, power
            size *= 2
        _scale(total[start - first : rows], weight, out[start:end])
    out[: bars - 1] = np.nan
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def _scale(a: Floats, weight: float, out: Floats) -> None:
    for i in range(len(out)):
        out[i] = a[i] * weight


@njit(nogil=True, cache=True, error_model="numpy")
def _copy(a: Floats, out: Floats) -> None:
    for i in range(len(out)):
        out[i] = a[i]


@njit(nogil=True, cache=True, error_model="numpy")
def _add(a: Floats, b: Floats, out: Floats) -> None:
    for i in range(len(out)):
        out[i] = a[i] + b[i]


@njit(nogil=True, cache=True, error_model="numpy")
def trailing_max(values: Floats, bars: int) -> Floats:
    """Largest of the last ``bars`` rows [T]."""
    num_rows, block = len(values), max(_BLOCK, 8 * bars)
    out = np.empty(num_rows)
    power, spare = np.empty(block + bars), np.empty(block + bars)
    for start in range(0, num_rows, block):
        first, end = max(start - bars + 1, 0), min(start + block, num_rows)
        rows = end - first
        _copy(values[first:end], power[:rows])
        size = 1
        while size < bars:
            step = min(size, bars - size)  # the last two windows overlap
            _larger(power[step:rows], power[: rows - step], spare[step:rows])
            spare[:step] = np.nan
            power, spare = spare, power
            size += step
        _copy(power[start - first : rows], out[start:end])
    out[: bars - 1] = np.nan
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def _larger(a: Floats, b: Floats, out: Floats) -> None:
    for i in range(len(out)):
        out[i] = a[i] if a[i] > b[i] or np.isnan(a[i]) else b[i]


@njit(nogil=True, cache=True, error_model="numpy")
def trailing_std(values: Floats, bars: int) -> Floats:
    """Standard deviation of the last ``bars`` rows, at least two, with ``bars - 1`` in the denominator [T].

    Sums and squared deviations of two windows are merged (Chan, Golub and LeVeque 1983): never negative, and
    0 to rounding for a constant window.
    """
    num_rows, block = len(values), max(2 * _BLOCK, 8 * bars)
    out = np.empty(num_rows)
    room = block + bars
    power, spare, total, other = np.empty(room), np.empty(room), np.empty(room), np.empty(room)
    power_squares, spare_squares = np.empty(room), np.empty(room)
    total_squares, other_squares = np.empty(room), np.empty(room)
    for start in range(0, num_rows, block):
        first, end = max(start - bars + 1, 0), min(start + block, num_rows)
        rows = end - first
        _copy(values[first:end], power[:rows])
        power_squares[:rows] = 0.0
        covered, size = 0, 1
        while size <= bars:
            if bars & size:
                if covered == 0:
                    _copy(power[:rows], total[:rows])
                    _copy(power_squares[:rows], total_squares[:rows])
                else:
                    _merge(
                        total[covered:rows],
                        total_squares[covered:rows],
                        covered,
                        power[: rows - covered],
                        power_squares[: rows - covered],
                        size,
                        other[covered:rows],
                        other_squares[covered:rows],
                    )
                    total, other = other, total
                    total_squares, other_squares = other_squares, total_squares
                covered += size
            if 2 * size <= bars:
                _merge(
                    power[size:rows],
                    power_squares[size:rows],
                    size,
                    power[: rows - size],
                    power_squares[: rows - size],
                    size,
                    spare[size:rows],
                    spare_squares[size:rows],
                )
                spare[:size] = np.nan
                power, spare = spare, power
                power_squares, spare_squares = spare_squares, power_squares
            size *= 2
        _root(total_squares[start - first : rows], 1.0 / (bars - 1), out[start:end])
    out[: bars - 1] = np.nan
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def _merge(
    a: Floats,
    a_squares: Floats,
    a_rows: int,
    b: Floats,
    b_squares: Floats,
    b_rows: int,
    out: Floats,
    out_squares: Floats,
) -> None:
    """Sum and squared deviations of two sets of rows out of those of each."""
    share, weight = b_rows / a_rows, a_rows / (b_rows * (a_rows + b_rows))
    for i in range(len(out)):
        apart = share * a[i] - b[i]
        out_squares[i] = a_squares[i] + b_squares[i] + weight * apart * apart
        out[i] = a[i] + b[i]


@njit(nogil=True, cache=True, error_model="numpy")
def _root(squares: Floats, weight: float, out: Floats) -> None:
    for i in range(len(out)):
        out[i] = np.sqrt(squares[i] * weight)


@njit(nogil=True, cache=True, error_model="numpy")
def ratio(a: Floats, b: Floats, otherwise: float) -> Floats:
    """The ratio a / b [T], and ``otherwise`` where b is 0."""
    out = np.empty(len(a))
    for t in range(len(a)):
        out[t] = otherwise if b[t] == 0 else a[t] / b[t]
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def ratio_less_one(a: Floats, b: Floats) -> Floats:
    """The ratio a / b - 1 [T], for b that is never 0."""
    out = np.empty(len(a))
    for t in range(len(a)):
        out[t] = a[t] / b[t] - 1.0
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def mean_of_lags(values: Floats, step: int, count: int, least: int) -> Floats:
    """Mean of the values ``step``, 2 ``step``, ..., ``count`` ``step`` rows before each row [T].

    NaN where fewer than ``least`` of them are there.
    """
    num_rows = len(values)
    total, known = np.zeros(num_rows), np.zeros(num_rows)
    for lag_idx in range(1, count + 1):
        moved = lag_idx * step
        for t in range(moved, num_rows):
            value = values[t - moved]
            if not np.isnan(value):
                total[t] += value
                known[t] += 1
    for t in range(num_rows):
        total[t] = total[t] / known[t] if known[t] >= least else np.nan
    return total


@njit(nogil=True, cache=True, error_model="numpy")
def run_length(present: Bools) -> Ints:
    """How many rows in a row, the newest included, are there [T]."""
    out = np.zeros(len(present), np.int64)
    run = 0
    for t in range(len(present)):
        run = run + 1 if present[t] else 0
        out[t] = run
    return out


def trailing_mean(values: Floats, bars: int, min_share: float = 1.0) -> Floats:
    """Mean of the last ``bars`` rows [T].

    Parameters
    ----------
    min_share
        Of the values that must not be NaN; the mean is that of those that are there.
    """
    if min_share == 1.0:
        return _weighted_sum(values, bars, 1 / bars)
    known = ~np.isnan(values)
    count = trailing_sum(known.astype(np.float64), bars)
    total = trailing_sum(np.where(known, values, 0.0), bars)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count >= min_share * bars, total / count, np.nan)


def trailing_min(values: Floats, bars: int) -> Floats:
    """Smallest of the last ``bars`` rows [T]."""
    return -trailing_max(-values, bars)


def lag(values: Floats, bars: int) -> Floats:
    """The value ``bars`` rows earlier [T], NaN at the beginning."""
    moved = np.empty_like(values)
    moved[:bars] = np.nan
    moved[bars:] = values[: max(len(values) - bars, 0)]
    return moved


def change(values: Floats, bars: int) -> Floats:
    """The value less the one ``bars`` rows earlier [T], NaN at the beginning."""
    moved = np.empty_like(values)
    moved[:bars] = np.nan
    np.subtract(values[bars:], values[: max(len(values) - bars, 0)], out=moved[bars:])
    return moved


def lead(values: Floats, bars: int) -> Floats:
    """The value ``bars`` rows later [T], NaN at the end: for labels only."""
    moved = np.full_like(values, np.nan)
    moved[: max(len(values) - bars, 0)] = values[bars:]
    return moved
