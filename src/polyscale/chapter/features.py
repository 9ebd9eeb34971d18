"""The chapter's preparation of data: candles at several scales, and features of them.

A row carries the ``close_time`` from which it is known, so that frames of different scales can be joined as
of that time (`pandas.merge_asof`). Rows lie on their grid: where bars are missing they are NaN.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import polars as pl

from polyscale.chapter.frames import Label, timeframes, to_bars, to_frame
from polyscale.features.chapter import CHAPTER_FEATURES, SIMPLE_RSI
from polyscale.features.feature import FeatureSet, compute_scales
from polyscale.market.errors import ConfigError, HistoryError
from polyscale.market.timeframe import Timeframe
from polyscale.scales.ladder import ScaleBars, build_scales
from polyscale.scales.settings import ScaleSettings

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)
SCALES: Final = ("1min", "5min", "15min", "1H", "4H")
INTERVALS: Final = ("1min", "5min", "1H", "1D")


def temporal_downsample(
    df: pd.DataFrame, target_intervals: Sequence[str] = INTERVALS, *, label: Label | None = None
) -> dict[str, pd.DataFrame]:
    """Put candles together to coarser ones; known when: each row at its ``close_time``.

    The chapter labels a bar by its left edge (so that a join by label shows 00:59 at 00:00), keeps the last
    bar though it is not finished, and drops missing bars (so that a row shift is no time shift).

    Parameters
    ----------
    df
        Candles of any timeframe that all targets are whole multiples of; see `frames.to_bars` for ``label``.

    Returns
    -------
    dict
        By interval, as it was written: open, high, low, close, volume. A bar for which less than nine tenths
        of its time was covered is a row of NaN.

    Raises
    ------
    DataError, HistoryError
        If the frame is none of candles.
    ConfigError
        If an interval is no whole multiple of the candles' own.
    """
    scales = _scales(df, target_intervals, label)
    names = ("close_time", "open", "high", "low", "close", "volume")
    return {
        name: to_frame(scale.bars.select(names)) for name, scale in zip(target_intervals, scales, strict=True)
    }


def create_multi_scale_features(
    df: pd.DataFrame,
    scales: Sequence[str] = SCALES,
    *,
    label: Label | None = None,
    rsi: Literal["simple", "wilder"] = "simple",
) -> dict[str, pd.DataFrame]:
    """The chapter's features at several scales, corrected; known when: each row at its ``close_time``.

    Its twins are given once: ``log_return`` for return_1, ``rsi`` in [-1, 1] for rsi_normalized; returns are
    log returns. ``volume_change`` is finite after no volume, ``close_position`` has no constant in units of
    the price. `polyscale.features.chapter` has every formula.

    Parameters
    ----------
    df
        Candles, usually of one minute; see `frames.to_bars` for ``label``.
    rsi
        ``simple``: means of 14 bars, as the chapter has it; ``wilder``: his own, warm after 350 bars.

    Returns
    -------
    dict
        By scale, as it was written: one column per feature, from the first row at which all are warm. Rows
        after it whose bars are missing are NaN. A scale that is never warm has no row, and a warning says so.

    Raises
    ------
    DataError, ConfigError
        As `temporal_downsample`.
    HistoryError
        If no scale is ever warm; it says how many rows are needed, without a gap, and found.
    """
    if rsi not in ("simple", "wilder"):
        raise ConfigError(f"rsi must be simple or wilder, got {rsi!r}")
    relative = replace(SIMPLE_RSI, name="rsi") if rsi == "simple" else CHAPTER_FEATURES[-1]
    features = FeatureSet((*CHAPTER_FEATURES[:-1], relative))
    made = _scales(df, scales, label)
    tables = compute_scales([(features, each.bars, each.settings.timeframe) for each in made])
    needed = max(feature.warm_up for feature in features.features)
    warm = {name: _from_first_warm(table) for name, table in zip(scales, tables, strict=True)}
    short = {name: table.height for name, table in zip(scales, tables, strict=True) if warm[name].is_empty()}
    if len(short) == len(warm):
        raise HistoryError(
            f"features need {needed} rows of a scale, found {short}; give more candles, without gaps"
        )
    if short:
        logger.warning(
            "features need %d rows of a scale without a gap; these have none: found %s", needed, short
        )
    return {name: to_frame(table) for name, table in warm.items()}


def _scales(df: pd.DataFrame, names: Sequence[str], label: Label | None) -> list[ScaleBars]:
    """Bars of every scale on its grid."""
    wanted = timeframes(names)
    bars, base = to_bars(df, label)
    settings = [ScaleSettings(timeframe=each, lookback=1) for each in wanted]
    return build_scales(bars, _checked(base, wanted), settings, max_fill=0)


def _checked(base: Timeframe, wanted: Sequence[Timeframe]) -> Timeframe:
    for each in wanted:
        base.bars_in(each)
    return base


def _from_first_warm(table: pl.DataFrame) -> pl.DataFrame:
    warm = np.asarray(table.select(pl.all_horizontal(pl.all().is_not_null())).to_series())
    return table[int(warm.argmax()) :] if warm.any() else table.clear()
