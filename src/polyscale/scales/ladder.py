"""All scales of a market in one pass: each on its grid, each row known at its close.

In: base bars and the scales that are wanted. Out: a `ScaleBars` per scale. Rows whose time was covered too
thinly by base bars are null: they are masked all the way up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from polyscale.market.timeframe import Timeframe
from polyscale.scales.grid import to_grid
from polyscale.scales.resample import prepend_native, resample
from polyscale.scales.settings import ScaleSettings

MIN_COVERAGE = 0.9  # of a coarse bar's time; below it the row is masked


@dataclass(frozen=True, eq=False)
class ScaleBars:
    """Bars of one scale on its grid; null rows are missing."""

    settings: ScaleSettings
    bars: pl.DataFrame


def build_scales(
    bars: pl.DataFrame,
    base: Timeframe,
    scales: Sequence[ScaleSettings],
    max_fill: int,
    native: Mapping[Timeframe, pl.DataFrame] | None = None,
) -> list[ScaleBars]:
    """Resample base bars to every scale; known when: each row at its ``close_time``.

    Parameters
    ----------
    native
        Stored bars by timeframe, for scales with ``native_history``.
    """
    filled = to_grid(bars, base, max_fill)
    return [ScaleBars(scale, _scale_bars(filled, base, scale, native or {})) for scale in scales]


def _scale_bars(
    filled: pl.DataFrame, base: Timeframe, scale: ScaleSettings, native: Mapping[Timeframe, pl.DataFrame]
) -> pl.DataFrame:
    if scale.timeframe == base:
        return filled
    coarse = resample(filled, base, scale.timeframe)
    if scale.native_history and scale.timeframe in native:
        coarse = prepend_native(coarse, native[scale.timeframe])
    thin = pl.col("coverage") < MIN_COVERAGE
    numbers = ("open", "high", "low", "close", "volume", "turnover")
    masked = coarse.with_columns(pl.when(~thin).then(name).alias(name) for name in numbers)
    return to_grid(masked.drop("coverage"), scale.timeframe) if coarse.height else masked.drop("coverage")
