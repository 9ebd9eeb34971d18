"""Leaks of windows that reach past their own row."""

from __future__ import annotations

import numpy as np
import polars as pl

from polyscale.audit.check import check
from polyscale.audit.museum.exhibit import BARS_PER_HOUR, Exhibit, five_minutes

_PAST = 24
_CENTRED = 11
_CLOSE = pl.col("close")


def smoothed_about_the_row(bars: pl.DataFrame) -> pl.DataFrame:
    """A mean of eleven bars, the row in their middle."""
    return bars.select("close_time", smooth=_CLOSE.rolling_mean(_CENTRED, center=True))


def smoothed_up_to_the_row(bars: pl.DataFrame) -> pl.DataFrame:
    """A mean of eleven bars, the row their last."""
    return bars.select("close_time", smooth=_CLOSE.rolling_mean(_CENTRED))


def return_of_the_next_bar(bars: pl.DataFrame) -> pl.DataFrame:
    """Shifted the wrong way: the sign of a shift is easily lost."""
    return bars.select("close_time", change=_CLOSE.shift(-1) / _CLOSE - 1)


def return_of_the_last_bar(bars: pl.DataFrame) -> pl.DataFrame:
    """Shifted the right way."""
    return bars.select("close_time", change=_CLOSE / _CLOSE.shift(1) - 1)


def scaled_with_the_horizon(bars: pl.DataFrame) -> pl.DataFrame:
    """Windows of inputs and targets, scaled to 0..1 together before they are parted."""
    return _scaled(bars, BARS_PER_HOUR)


def scaled_without_the_horizon(bars: pl.DataFrame) -> pl.DataFrame:
    """Windows of inputs, scaled by themselves."""
    return _scaled(bars, 0)


def _scaled(bars: pl.DataFrame, horizon: int) -> pl.DataFrame:
    position = np.full(bars.height, np.nan)
    if bars.height >= _PAST + horizon:
        windows = np.lib.stride_tricks.sliding_window_view(bars["close"].to_numpy(), _PAST + horizon)
        low, high = windows.min(axis=1), windows.max(axis=1)
        last = windows[:, _PAST - 1]
        position[_PAST - 1 : bars.height - horizon] = (last - low) / np.where(high > low, high - low, 1.0)
    return bars.select("close_time", position=pl.Series(position))


def momentum_that_is_the_target(bars: pl.DataFrame) -> pl.DataFrame:
    """The label of an hour ahead came into the table under a name that sounds like a feature."""
    return bars.select("close_time", momentum_1h=(_CLOSE.shift(-BARS_PER_HOUR) / _CLOSE).log())


def momentum_of_the_last_hour(bars: pl.DataFrame) -> pl.DataFrame:
    """What the name says."""
    return bars.select("close_time", momentum_1h=(_CLOSE / _CLOSE.shift(BARS_PER_HOUR)).log())


WINDOWS = (
    Exhibit(
        "centred window",
        "half of a window about the row lies after it",
        lambda: check(smoothed_about_the_row, five_minutes()),
        lambda: check(smoothed_up_to_the_row, five_minutes()),
    ),
    Exhibit(
        "shift by minus one",
        "a shift by -1 brings the next row here",
        lambda: check(return_of_the_next_bar, five_minutes()),
        lambda: check(return_of_the_last_bar, five_minutes()),
    ),
    Exhibit(
        "scaled with the horizon inside",
        "the highest and lowest price of a window that holds the target tell where the target went",
        lambda: check(scaled_with_the_horizon, five_minutes()),
        lambda: check(scaled_without_the_horizon, five_minutes()),
    ),
    Exhibit(
        "target under another name",
        "a column that is computed from later prices is a label, whatever it is called",
        lambda: check(momentum_that_is_the_target, five_minutes()),
        lambda: check(momentum_of_the_last_hour, five_minutes()),
    ),
)
