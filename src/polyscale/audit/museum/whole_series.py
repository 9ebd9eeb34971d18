"""Leaks of whatever is computed from the whole series before it is cut into rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pywt

from polyscale.audit.check import check
from polyscale.audit.frozen_fit import check_frozen_fit
from polyscale.audit.museum.exhibit import BARS_PER_DAY, Exhibit, five_minutes, hours
from polyscale.audit.plan import Plan
from polyscale.audit.rows import Floats

_WINDOW = 64
_LEVELS = 3
_MODES = 3
_VMD_BARS = 200
_VMD_WINDOW = 48
_FEW = Plan(newest_cuts=12)
_TRAIN_END = datetime(2025, 1, 9, tzinfo=UTC)


def denoised_as_a_whole(bars: pl.DataFrame) -> pl.DataFrame:
    """Wavelet denoising of the series, details below a threshold set to zero."""
    return bars.select("close_time", smooth=pl.Series(_denoised(np.log(bars["close"].to_numpy()))))


def denoised_in_trailing_windows(bars: pl.DataFrame) -> pl.DataFrame:
    """The same of each trailing window, of which the last value is kept."""
    prices, smooth = np.log(bars["close"].to_numpy()), np.full(bars.height, np.nan)
    if bars.height >= _WINDOW:
        windows = np.lib.stride_tricks.sliding_window_view(prices, _WINDOW)
        smooth[_WINDOW - 1 :] = _denoised(windows)[:, -1]
    return bars.select("close_time", smooth=pl.Series(smooth))


def _denoised(series: Floats) -> Floats:
    """Of the last axis; the threshold is the universal one of Donoho and Johnstone (1994)."""
    size = series.shape[-1]
    levels = min(_LEVELS, pywt.dwt_max_level(size, "db4"))
    trend, *details = pywt.wavedec(series, "db4", level=levels)
    if not details:
        return series
    noise = np.median(np.abs(details[-1]), axis=-1, keepdims=True) / 0.6745
    limit = noise * np.sqrt(2 * np.log(size))
    kept = [np.where(np.abs(detail) > limit, detail, 0.0) for detail in details]
    return np.asarray(pywt.waverec([trend, *kept], "db4"))[..., :size]


def modes_of_the_whole(bars: pl.DataFrame) -> pl.DataFrame:
    """Variational modes of the series, one column each."""
    modes = _vmd()(np.log(bars["close"].to_numpy()), n_modes=_MODES, alpha=200.0)
    rows = bars.select("close_time").tail(len(modes["mode_0"]))  # of an odd number the oldest has none
    return rows.with_columns(pl.Series(f"mode_{k}", modes[f"mode_{k}"]) for k in range(_MODES))


def modes_of_trailing_windows(bars: pl.DataFrame) -> pl.DataFrame:
    """The same of the trailing window of every fourth hour, of which the last value is kept."""
    prices = np.log(bars["close"].to_numpy())
    turn = bars["close_time"].dt.hour().to_numpy() % 4 == 0
    ends = np.flatnonzero(turn & (np.arange(bars.height) >= _VMD_WINDOW - 1))
    windows = [_vmd()(prices[end - _VMD_WINDOW + 1 : end + 1], n_modes=_MODES, alpha=200.0) for end in ends]
    columns = [pl.Series(f"mode_{k}", [modes[f"mode_{k}"][-1] for modes in windows]) for k in range(_MODES)]
    return bars.select("close_time")[ends].with_columns(columns)


def _vmd() -> Callable[..., Any]:
    from polyscale.scales.vmd import vmd_decomposition  # when shown: it brings a compiler

    return vmd_decomposition


def scaler_of_everything(bars: pl.DataFrame) -> dict[str, float]:
    """Mean and spread of all rows; the split comes after."""
    return _mean_and_spread(bars)


def scaler_of_training(bars: pl.DataFrame) -> dict[str, float]:
    """Mean and spread of the rows that are trained on."""
    return _mean_and_spread(bars.filter(pl.col("close_time") <= _TRAIN_END))


def _mean_and_spread(bars: pl.DataFrame) -> dict[str, float]:
    prices = bars["close"].to_numpy()
    return {"mean": float(prices.mean()), "spread": float(prices.std())}


def rank_in_the_sample(bars: pl.DataFrame) -> pl.DataFrame:
    """Rank among all prices, 0 to 1."""
    return bars.select("close_time", rank=pl.col("close").rank() / pl.len())


def rank_in_the_past_day(bars: pl.DataFrame) -> pl.DataFrame:
    """Rank among the prices of the last day, 0 to 1."""
    return bars.select("close_time", rank=pl.col("close").rolling_rank(BARS_PER_DAY) / BARS_PER_DAY)


WHOLE_SERIES = (
    Exhibit(
        "wavelet of the whole series",
        "a filter of both sides and a threshold from all details spread every price over its neighbours",
        lambda: check(denoised_as_a_whole, five_minutes(), plan=Plan(truncations=0)),
        lambda: check(denoised_in_trailing_windows, five_minutes()),
    ),
    Exhibit(
        "VMD of the whole series",
        "modes are found in the spectrum of the whole series, so every value depends on every price",
        lambda: check(modes_of_the_whole, hours(_VMD_BARS), plan=_FEW.model_copy(update={"truncations": 0})),
        lambda: check(modes_of_trailing_windows, hours(_VMD_BARS), plan=_FEW),
    ),
    Exhibit(
        "scaler fitted on everything",
        "the mean of all rows tells where the price will be",
        lambda: check_frozen_fit(scaler_of_everything, five_minutes(), _TRAIN_END),
        lambda: check_frozen_fit(scaler_of_training, five_minutes(), _TRAIN_END),
    ),
    Exhibit(
        "rank over the whole sample",
        "a price that is the lowest of all can only rise",
        lambda: check(rank_in_the_sample, five_minutes(), plan=Plan(truncations=0)),
        lambda: check(rank_in_the_past_day, five_minutes()),
    ),
)
