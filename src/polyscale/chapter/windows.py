"""Windows of the chapter, and the rows that they share.

`make_windows` cuts frames of features into arrays [N, L, F], which is what the chapter trains on.
`rows_of_windows` goes the other way: consecutive windows overlap, so every row is kept once with the place at
which each window ends. Shapes: N windows (origins), L rows of a window, F features, T rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from polyscale.chapter.frames import Label, epoch_ms, time_index, timeframes, to_bars
from polyscale.market.errors import ConfigError, DataError, HistoryError
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

    def __getitem__(self, rows: slice) -> Windows:
        """Some of the origins."""
        chosen = {scale: x[rows] for scale, x in self.X.items()}
        return Windows(chosen, self.y[rows], self.close_time[rows], self.horizons)

    def split(self, train: float = 0.6, validate: float = 0.2) -> tuple[Windows, Windows, Windows]:
        """Cut into training, validation and test, in time; the longest horizon before each end is purged.

        The chapter does not purge: there the last labels of training are the first prices of validation.

        Raises
        ------
        ConfigError
            If the shares leave nothing to test.
        HistoryError
            If a part is shorter than the longest horizon.
        """
        if min(train, validate, 1 - train - validate) <= 0:
            raise ConfigError(f"shares must be > 0 and leave a test, got {train} and {validate}")
        first, second = (int(len(self) * share) for share in (train, train + validate))
        time_ms, longest = epoch_ms(self.close_time), max(self.horizons).ms
        ends = [
            int(np.searchsorted(time_ms, time_ms[min(cut, len(self) - 1)] - longest, side="right"))
            for cut in (first, second)
        ]
        if ends[0] < 1 or ends[1] <= first or second >= len(self):
            raise HistoryError(
                f"each part must be longer than the longest horizon, {max(self.horizons)}, that is purged "
                f"before its end; found {first}, {second - first} and {len(self) - second} windows; give more"
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
        By scale, rows at their ``close_time``: what `create_multi_scale_features` gives, or one's own.
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
    HistoryError
        If the finest scale is warm at no origin.
    """
    ahead = tuple(timeframes(horizons))
    if len(ahead) != 3 or list(ahead) != sorted(set(ahead)):
        raise ConfigError(
            f"horizons must be three that rise (short, medium, long term), got {list(horizons)}"
        )
    bars, base = to_bars(prices, label)
    grid = Timeframe.parse(every) if every is not None else ahead[0]
    base.bars_in(grid)
    laid = to_grid(bars, base)
    close_ms = laid["close_time"].dt.epoch("ms").to_numpy()
    targets = make_targets(laid, base, ahead)
    rows = {scale: frame.to_numpy(np.float32) for scale, frame in features.items()}
    index = {scale: align(close_ms, epoch_ms(frame.index)) for scale, frame in features.items()}
    finest = min(features, key=Timeframe.parse)
    warm = np.append(np.isfinite(rows[finest]).all(axis=1), False)
    known = warm[index[finest]]  # -1, where there is no row, is the False at the end
    known &= ((close_ms - grid.offset_ms) % grid.ms == 0) & laid["close"].is_not_null().to_numpy()
    if not known.any():
        found = {scale: len(table) for scale, table in rows.items()}
        raise HistoryError(
            f"a window needs a warm row of {finest} at an origin, found none in {found} rows; "
            "give more candles"
        )
    lengths = per_scale(lookback, list(features), "lookback")
    return Windows(
        {scale: _cut(table, index[scale][known], lengths[scale]) for scale, table in rows.items()},
        targets.log_return[known],
        time_index(close_ms[known]),
        ahead,
    )


def per_scale(given: int | Mapping[str, int], scales: Sequence[str], what: str) -> dict[str, int]:
    """One number for all scales, or one for each; at least 1."""
    numbers = dict.fromkeys(scales, given) if isinstance(given, int) else dict(given)
    if set(numbers) != set(scales) or not all(isinstance(n, int) and n >= 1 for n in numbers.values()):
        raise ConfigError(
            f"{what} must be a whole number >= 1, or one for each scale {list(scales)}, got {given}"
        )
    return numbers


def rows_of_windows(x: NDArray[Any]) -> tuple[Float32s, Ints]:
    """Keep each row once that consecutive windows share.

    Parameters
    ----------
    x
        [N, L, F]. Where a window goes on from the one before by s rows, s new rows are kept; windows in any
        order are right as well, and share less.

    Returns
    -------
    tuple
        Rows [T, F], and the row [N] at which each window ends: its L newest rows are the window.
    """
    x = np.ascontiguousarray(x, dtype=np.float32)
    num_windows, length, _ = x.shape
    bits = x.view(np.int32)  # a missing value equals itself
    shift = np.full(num_windows - 1, length)
    open_pairs = np.arange(num_windows - 1)
    for s in range(length):
        likely = open_pairs[(bits[open_pairs, -1] == bits[open_pairs + 1, length - 1 - s]).all(axis=-1)]
        same = (bits[likely, s:] == bits[likely + 1, : length - s]).all(axis=(1, 2))
        shift[likely[same]] = s
        open_pairs = np.setdiff1d(open_pairs, likely[same], assume_unique=True)
        if len(open_pairs) == 0:
            break
    window = np.repeat(np.arange(1, num_windows), shift)
    begins = np.cumsum(shift) - shift
    place = np.arange(len(window)) - np.repeat(begins, shift) + length - np.repeat(shift, shift)
    rows = np.concatenate([x[0], x[window, place]])
    return rows, length - 1 + np.concatenate([[0], np.cumsum(shift)])


def check_windows(x: object, scales: Sequence[str]) -> dict[str, Float32s]:
    """Arrays [N, L, F] of all scales, with the same N >= 1.

    Raises
    ------
    DataError
        Names the scale and its shape.
    """
    if not isinstance(x, Mapping) or set(x) != set(scales):
        found = sorted(x) if isinstance(x, Mapping) else type(x).__name__
        raise DataError(f"X must be a dict of the model's scales {list(scales)}, got {found}")
    arrays = {scale: np.asarray(x[scale], dtype=np.float32) for scale in scales}
    counts = {scale: array.shape[:1] for scale, array in arrays.items()}
    wrong = {scale: a.shape for scale, a in arrays.items() if a.ndim != 3 or 0 in a.shape}
    if wrong or len(set(counts.values())) > 1:
        shapes = {scale: array.shape for scale, array in arrays.items()}
        raise DataError(
            f"X must be [windows, rows, features] with as many windows of every scale, got {shapes}"
        )
    return arrays


def _cut(rows: Float32s, last: Ints, length: int) -> Float32s:
    """Windows of rows that end at some of them, at -1 before all; NaN before the first row."""
    padded = np.concatenate([np.full((length, rows.shape[1]), np.nan, np.float32), rows])
    views = np.lib.stride_tricks.sliding_window_view(padded, length, axis=0)  # [T + 1, F, L]
    return np.ascontiguousarray(views[last + 1].transpose(0, 2, 1))
