"""Coarser bars out of finer ones, each known at its own close.

In: bars of a timeframe. Out: bars of a multiple of it, with ``coverage``: the share of the coarse bar's time
for which there were fine bars, filled ones among them, and ``filled``: whether any of them was filled in. 1m
-> 5m -> 1h gives what 1m -> 1h gives, and volume is conserved but for the last, unfinished bar, which never
becomes a row.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from polyscale.market.errors import DataError
from polyscale.market.timeframe import Timeframe

_MIN_OVERLAP = 3  # rows that must agree before native history is believed
_RELATIVE_TOLERANCE = 1e-9


def resample(bars: pl.DataFrame, source: Timeframe, target: Timeframe) -> pl.DataFrame:
    """Put bars together; known when: each row at its ``close_time``, the end of the coarse bar.

    Parameters
    ----------
    bars
        Sorted bars of ``source``; rows with a null close (gaps on the grid) are passed over. The columns
        ``coverage`` and ``filled`` of an earlier resampling or of the grid are carried on.
    target
        A whole multiple of ``source``; weeks begin on Monday, 00:00 UTC.

    Returns
    -------
    polars.DataFrame
        Bars, ``coverage`` in (0, 1] and ``filled``. The last coarse bar is there only if the fine bars reach
        its end.

    Raises
    ------
    ConfigError
        If ``target`` is no multiple of ``source``.
    """
    share = 1 / source.bars_in(target)
    for name, usual in (("coverage", 1.0), ("filled", False)):
        if name not in bars.columns:
            bars = bars.with_columns(pl.lit(usual).alias(name))
    offset, step = target.offset_ms, target.ms
    end_ms = (pl.col("close_time").dt.epoch("ms") - offset - 1) // step * step + step + offset
    coarse = (
        bars.filter(pl.col("close").is_not_null())
        .with_columns(close_time=end_ms.cast(pl.Datetime("ms")).dt.replace_time_zone("UTC"))
        .group_by("close_time", maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
            pl.when(pl.col("turnover").is_not_null().all()).then(pl.col("turnover").sum()).alias("turnover"),
            pl.col("coverage").sum() * share,
            pl.col("filled").any(),
        )
    )
    return coarse.filter(pl.col("close_time") <= bars["close_time"][-1])


def prepend_native(resampled: pl.DataFrame, native: pl.DataFrame, timeframe: Timeframe) -> pl.DataFrame:
    """Lengthen a coarse scale with stored bars from before the base bars begin.

    Parameters
    ----------
    resampled
        What `resample` gave.
    native
        Stored bars of the same timeframe and market.

    Returns
    -------
    polars.DataFrame
        Native rows before the first complete resampled row, then the resampled rows.

    Raises
    ------
    DataError
        If fewer than three rows without a missing base bar overlap, or if any of them differs: then the two
        are not the same market, or their times are labelled differently.
    """
    complete = resampled.filter((pl.col("coverage") > 1 - 1e-9) & ~pl.col("filled"))
    both = complete.join(native, on="close_time", suffix="_native")
    if both.height < _MIN_OVERLAP:
        raise DataError(
            f"native history of {timeframe} needs >= {_MIN_OVERLAP} complete bars that overlap the resampled "
            f"ones, found {both.height}: stored {_span(native)}, resampled {_span(complete)}; import native "
            "bars that reach into the base bars, or set native_history of that scale to false"
        )
    for name in ("open", "high", "low", "close", "volume"):
        ours, theirs = both[name].to_numpy(), both[f"{name}_native"].to_numpy()
        differs = ~np.isclose(ours, theirs, rtol=_RELATIVE_TOLERANCE, atol=0)
        if differs.any():
            row = int(differs.argmax())
            raise DataError(
                f"native history of {timeframe} must equal the resampled bars of their time; {name} differs "
                f"in {differs.sum()} of {both.height} rows, first at {both['close_time'][row]}: "
                f"{theirs[row]} stored, {ours[row]} resampled; import bars of the same market or set "
                "native_history to false"
            )
    older = native.filter(pl.col("close_time") < complete["close_time"][0])
    kept = resampled.filter(pl.col("close_time") >= complete["close_time"][0])
    whole = older.with_columns(coverage=pl.lit(1.0), filled=pl.lit(value=False))
    return pl.concat([whole.select(kept.columns), kept])


def _span(bars: pl.DataFrame) -> str:
    if bars.is_empty():
        return "no bars"
    return f"{bars['close_time'][0]:%Y-%m-%d %H:%M} .. {bars['close_time'][-1]:%Y-%m-%d %H:%M}"
