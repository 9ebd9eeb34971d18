"""Frames of features cut into windows, which is what the chapter trains on.

In: features by scale, candles. Out: `Windows`: arrays [N, L, F], the returns that came after, and when each
window is known. Shapes: N windows (origins), L rows of a window, F features, T rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from polyscale.chapter.frames import (
    Label,
    closes_ms,
    floats,
    pandas,
    three_horizons,
    time_index,
    timeframes,
    to_bars,
)
from polyscale.market.errors import ConfigError, DataError, HistoryError
from polyscale.market.settings import is_whole
from polyscale.market.timeframe import Timeframe
from polyscale.scales.align import align
from polyscale.scales.grid import to_grid
from polyscale.targets.targets import make_targets

if TYPE_CHECKING:
    import pandas as pd

Float32s = NDArray[np.float32]
Ints = NDArray[np.int64]
HORIZONS: Final = ("5min", "1H", "1D")  # short, medium, long term


@dataclass(frozen=True, eq=False)
class Windows:
    """What is known at each origin, and what came after it."""

    X: dict[str, Float32s]  # per scale [N, L, F]: the newest rows known at the origin, NaN where missing
    y: NDArray[np.float64]  # [N, 3] log returns over the horizons, NaN where they are not known (yet)
    close_time: pd.DatetimeIndex  # [N] origins: when the window is known
    horizons: tuple[Timeframe, ...]

    def __len__(self) -> int:
        return len(self.y)

    @property
    def data(self) -> tuple[dict[str, Float32s], NDArray[np.float64]]:
        """``(X, y)``, as `train_multi_scale_model` takes it."""
        return self.X, self.y

    def __getitem__(self, rows: slice | NDArray[Any] | int) -> Windows:
        """Some of the origins; one is still [1, L, F]."""
        rows = rows if isinstance(rows, slice) else np.atleast_1d(rows)
        chosen = {scale: x[rows] for scale, x in self.X.items()}
        return Windows(chosen, self.y[rows], self.close_time[rows], self.horizons)

    def split(self, train: float = 0.6, validate: float = 0.2) -> tuple[Windows, Windows, Windows]:
        """Cut into training, validation and test, in time; the longest horizon before each end is purged.

        The chapter does not purge: there the last labels of training are the first prices of validation.

        Raises
        ------
        ConfigError
            If the shares leave nothing to test.
        DataError
            If the origins are not in the order of time.
        HistoryError
            If training or validation is shorter than the longest horizon, or no window is left to test.
        """
        are_numbers = isinstance(train, Real) and isinstance(validate, Real)
        if not (are_numbers and min(train, validate, 1 - train - validate) > 0):
            raise ConfigError(f"shares must be > 0 and leave a test, got {train} and {validate}")
        first, second = (int(len(self) * share) for share in (train, train + validate))
        time_ms, longest = closes_ms(self.close_time, "close_time of windows"), max(self.horizons).ms
        ends = [
            int(np.searchsorted(time_ms, time_ms[min(cut, len(self) - 1)] - longest, side="right"))
            for cut in (first, second)
        ]
        if ends[0] < 1 or ends[1] <= first or second >= len(self):
            raise HistoryError(
                f"training and validation must be longer than the longest horizon, {max(self.horizons)}, "
                f"that is purged before their ends, and leave a test; found {first}, {second - first} and "
                f"{len(self) - second} windows; give more"
            )
        return self[slice(0, ends[0])], self[slice(first, ends[1])], self[slice(second, None)]


def make_windows(
    features: Mapping[str, pd.DataFrame],
    prices: pd.DataFrame,
    lookback: int | Mapping[str, int] = 96,
    horizons: Sequence[str] = HORIZONS,
    *,
    every: str | None = None,
    label: Label | None = None,
) -> Windows:
    """Cut features into windows that end at the same origins; known when: at the origin.

    Parameters
    ----------
    features
        By scale, rows on its grid with an index named ``close_time``, from which each is known: what
        `create_multi_scale_features` gives, or one's own. Rows that are not there count as NaN.
    prices
        The candles whose returns are the targets; see `frames.to_bars` for ``label``.
    lookback
        Rows of each scale that a window holds.
    horizons
        Three: short, medium, long term.
    every
        The grid of origins; absent: the shortest horizon. A finer one costs memory, and tells little more.

    Returns
    -------
    Windows
        At all origins at which the finest scale's row is warm; a coarser one's may be NaN, and is masked.

    Raises
    ------
    ConfigError
        If horizons or lookbacks cannot be.
    DataError
        If prices are no candles, or features no numbers of rows on the scale's grid at their close_time.
    HistoryError
        If the finest scale is warm at no origin.
    """
    ahead = three_horizons(horizons)
    tables = {scale: _laid(scale, frame) for scale, frame in _of_scales(features).items()}
    lengths = per_scale(lookback, list(tables), "lookback")
    bars, base = to_bars(prices, label)
    grid = Timeframe.parse(every) if every is not None else ahead[0]
    base.bars_in(grid)
    laid = to_grid(bars, base)
    close_ms = laid["close_time"].dt.epoch("ms").to_numpy()
    targets = make_targets(laid, base, ahead)
    rows = {scale: values for scale, (_, values) in tables.items()}
    index = {scale: _newest(close_ms, times, Timeframe.parse(scale)) for scale, (times, _) in tables.items()}
    finest = min(tables, key=Timeframe.parse)
    warm = np.append(np.isfinite(rows[finest]).all(axis=1), False)
    known = warm[index[finest]]  # -1, where there is no row, is the False at the end
    known &= ((close_ms - grid.offset_ms) % grid.ms == 0) & laid["close"].is_not_null().to_numpy()
    if not known.any():
        found = {scale: len(table) for scale, table in rows.items()}
        raise HistoryError(
            f"a window needs a warm row of {finest} at an origin, found none in {found} rows; "
            "give more candles"
        )
    return Windows(
        {scale: _cut(table, index[scale][known], lengths[scale]) for scale, table in rows.items()},
        targets.log_return[known],
        time_index(close_ms[known]),
        ahead,
    )


def per_scale(given: int | Mapping[str, int], scales: Sequence[str], what: str) -> dict[str, int]:
    """One number for all scales, or one for each; at least 1."""
    numbers = given if isinstance(given, Mapping) else dict.fromkeys(scales, given)
    if set(numbers) != set(scales) or not all(map(is_whole, numbers.values())):
        raise ConfigError(
            f"{what} must be a whole number >= 1, or one for each scale {list(scales)}, got {given!r}"
        )
    return {scale: int(numbers[scale]) for scale in scales}


def _of_scales(features: object) -> Mapping[str, pd.DataFrame]:
    """Frames by scale; at least one."""
    pd = pandas()
    if not isinstance(features, Mapping) or not features:
        found = "none" if isinstance(features, Mapping) else type(features).__name__
        raise DataError(f"features must be a dict of frames by scale, such as {{'1H': frame}}, got {found}")
    timeframes(features)
    for scale, frame in features.items():
        if not isinstance(frame, pd.DataFrame) or frame.shape[1] == 0:
            found = "no column" if isinstance(frame, pd.DataFrame) else type(frame).__name__
            raise DataError(f"features of {scale} must be a pandas.DataFrame with columns, got {found}")
    return features


def _laid(scale: str, frame: pd.DataFrame) -> tuple[Ints, Float32s]:
    """Times and rows of a scale on its grid, NaN where there is none: a row shift is a time shift."""
    times = closes_ms(frame.index, f"the index of {scale}")
    values = floats(frame, f"features of {scale}", np.float32)
    step = Timeframe.parse(scale)
    off = (times - step.offset_ms) % step.ms != 0
    if off.any():
        raise DataError(
            f"features of {scale} must lie on its grid, {off.sum()} of {len(off)} rows do not, first "
            f"{frame.index[int(off.argmax())]}; give a row per {step}, at its close"
        )
    if len(times) == 0:
        return times, values
    grid = np.arange(times[0], times[-1] + 1, step.ms)
    laid = np.full((len(grid), values.shape[1]), np.nan, np.float32)
    laid[(times - times[0]) // step.ms] = values
    return grid, laid


def _newest(origin_ms: Ints, close_ms: Ints, step: Timeframe) -> Ints:
    """The row known at each origin; -1 before the first, and where the last is a bar's length old or more."""
    index = align(origin_ms, close_ms)
    if len(close_ms):
        index[origin_ms - close_ms[-1] >= step.ms] = -1
    return index


def _cut(rows: Float32s, last: Ints, length: int) -> Float32s:
    """Windows of rows that end at some of them, at -1 before all; NaN before the first row."""
    padded = np.concatenate([np.full((length, rows.shape[1]), np.nan, np.float32), rows])
    views = np.lib.stride_tricks.sliding_window_view(padded, length, axis=0)  # [T + 1, F, L]
    return np.ascontiguousarray(views[last + 1].transpose(0, 2, 1))
