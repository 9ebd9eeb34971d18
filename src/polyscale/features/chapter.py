"""The chapter's features, corrected; free of the price's and the volume's own unit.

Where the chapter's formula is left, the meaning says why. ``return_1`` is ``log_return`` and
``rsi_normalized`` is ``rsi``: twins are given once.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from polyscale.features.feature import Feature, Formula
from polyscale.features.inputs import Inputs
from polyscale.features.windows import (
    change,
    ratio,
    ratio_less_one,
    trailing_mean,
    trailing_std,
    trailing_sum,
)

Floats = NDArray[np.float64]
_RSI_BARS: Final = 14
_WILDER_BARS: Final = 350  # (13/14)^350 < 1e-11: even a move 100 times as large is forgotten to 1e-9
_VOLUME_BARS: Final = 20
_STILL: Final = 1e-12  # mean move over price: below it the price stands still, whatever it did long ago


def log_return(bars: int) -> Formula:
    """Log return of some bars."""
    return lambda x: x.log_return if bars == 1 else change(x.log_close, bars)


def _volatility(bars: int) -> Formula:
    return lambda x: trailing_std(x.log_return, bars)


def _volume_ratio(x: Inputs) -> Floats:
    return ratio(x.volume, trailing_mean(x.volume, _VOLUME_BARS), 1.0)


def _volume_change(x: Inputs) -> Floats:
    return _change_over_sum(x.volume)


@njit(nogil=True, cache=True, error_model="numpy")
def _change_over_sum(volume: Floats) -> Floats:
    out = np.full(len(volume), np.nan)
    for t in range(1, len(volume)):
        both = volume[t] + volume[t - 1]
        out[t] = 0.0 if both == 0 else (volume[t] - volume[t - 1]) / both
    return out


def _high_low_ratio(x: Inputs) -> Floats:
    return (x.high - x.low) / x.close


def _close_position(x: Inputs) -> Floats:
    return _inside(x.high, x.low, x.close)


@njit(nogil=True, cache=True, error_model="numpy")
def _inside(high: Floats, low: Floats, close: Floats) -> Floats:
    out = np.empty(len(close))
    for t in range(len(close)):
        out[t] = 0.5 if high[t] == low[t] else (close[t] - low[t]) / (high[t] - low[t])
    return out


def _ma_ratio(bars: int) -> Formula:
    return lambda x: ratio_less_one(x.close, trailing_mean(x.close, bars))


def _rsi(x: Inputs) -> Floats:
    return _wilder(x.close, 1 / _RSI_BARS)


@njit(nogil=True, cache=True, error_model="numpy")
def _wilder(close: Floats, alpha: float) -> Floats:
    """(gain - loss) / (gain + loss), which is (RSI - 50) / 50: the mean move over the mean size of a move.

    Means are exponential, from the first move on; where a bar is missing they stand still.
    """
    out = np.full(len(close), np.nan)
    mean, size, weight, keep = 0.0, 0.0, 1.0, 0.0
    for t in range(1, len(close)):
        move = close[t] - close[t - 1]
        if np.isnan(move):
            continue
        mean = keep * mean + weight * move
        size = keep * size + weight * abs(move)
        weight, keep = alpha, 1.0 - alpha
        out[t] = mean / size if size > _STILL * close[t] else 0.0
    return out


def _rsi_simple(x: Inputs) -> Floats:
    move = change(x.close, 1)
    return ratio(trailing_sum(move, _RSI_BARS), trailing_sum(np.abs(move), _RSI_BARS), 0.0)


CHAPTER_FEATURES: Final = (
    Feature("log_return", log_return(1), 2, "log return of the bar", "log return"),
    Feature("return_5", log_return(5), 6, "log return of 5 bars", "log return"),
    Feature("return_10", log_return(10), 11, "log return of 10 bars", "log return"),
    Feature("volatility_5", _volatility(5), 6, "standard deviation of 5 log returns", "log return"),
    Feature("volatility_20", _volatility(20), 21, "standard deviation of 20 log returns", "log return"),
    Feature(
        "volume_ratio",
        _volume_ratio,
        _VOLUME_BARS,
        "volume over its mean of 20 bars; 1 where nothing was traded in all of them",
    ),
    Feature(
        "volume_change",
        _volume_change,
        2,
        "change of volume over the sum, in [-1, 1]; the chapter's ratio is infinite after no volume",
    ),
    Feature("high_low_ratio", _high_low_ratio, 1, "range over close"),
    Feature(
        "close_position",
        _close_position,
        1,
        "close inside the range, 0 low to 1 high; 0.5 without one (the chapter's 1e-8 distorts cheap coins)",
    ),
    *(
        Feature(f"ma_{n}_ratio", _ma_ratio(n), n, f"close over its mean of {n} bars, less 1")
        for n in (5, 10, 20, 50)
    ),
    Feature(
        "rsi",
        _rsi,
        _WILDER_BARS,
        "Wilder's RSI of 14 bars as (RSI - 50) / 50; warm when what is forgotten moves no ninth digit",
    ),
)

SIMPLE_RSI: Final = Feature(
    "rsi_simple",
    _rsi_simple,
    _RSI_BARS + 1,
    "the chapter's RSI, by simple means, as (RSI - 50) / 50",
)
