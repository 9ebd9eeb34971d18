"""All scales of a market in one pass: each on its grid, each row known at its close.

In: base bars and the scales that are wanted. Out: a `ScaleBars` per scale. Rows whose time was covered too
thinly by base bars are null: they are masked all the way up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import polars as pl

from polyscale.market.errors import ConfigError
from polyscale.market.timeframe import Timeframe
from polyscale.scales.grid import to_grid
from polyscale.scales.resample import prepend_native, resample
from polyscale.scales.settings import ScaleSettings

_NUMBERS = ("open", "high", "low", "close", "volume", "turnover")
MIN_COVERAGE = 0.9 - 1e-9  # less rounding of shares; of a coarse bar's time; below it the row is masked


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

    Raises
    ------
    ConfigError
        If a scale has ``native_history`` and no native bars are given.
    DataError
        If they do not agree with the base bars where both exist.
    """
    filled = to_grid(bars, base, max_fill)
    resampled = _resample_each(filled, base, {scale.timeframe for scale in scales})
    return [ScaleBars(scale, _scale_bars(resampled, base, scale, native or {})) for scale in scales]


def _resample_each(
    filled: pl.DataFrame, base: Timeframe, timeframes: Set[Timeframe]
) -> dict[Timeframe, pl.DataFrame]:
    """Bars of every timeframe, each put together out of the coarsest one that divides it."""
    made = {base: filled}
    for timeframe in sorted(timeframes - {base}):
        source = max(finer for finer in made if finer.divides(timeframe))
        made[timeframe] = resample(made[source], source, timeframe, filled["close_time"][-1])
    return made


def _scale_bars(
    resampled: Mapping[Timeframe, pl.DataFrame],
    base: Timeframe,
    scale: ScaleSettings,
    native: Mapping[Timeframe, pl.DataFrame],
) -> pl.DataFrame:
    coarse = resampled[scale.timeframe]
    if scale.timeframe == base:
        return coarse
    if scale.native_history:
        if scale.timeframe not in native:
            raise ConfigError(
                f"scale {scale.timeframe} has native_history and needs native bars of it, got those "
                f"of {[str(timeframe) for timeframe in native]}; give them, or set native_history to false"
            )
        coarse = prepend_native(coarse, native[scale.timeframe], scale.timeframe)
    if coarse.is_empty():
        return coarse
    if coarse["coverage"].min() < MIN_COVERAGE:  # type: ignore[operator]  # a number, for there are rows
        thin = pl.col("coverage") < MIN_COVERAGE
        coarse = coarse.with_columns(pl.when(~thin).then(name).alias(name) for name in _NUMBERS)
    return to_grid(coarse.drop("filled"), scale.timeframe, until=resampled[base]["close_time"][-1])
