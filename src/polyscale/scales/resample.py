"""Coarser bars out of finer ones, each known at its own close.

In: bars of a timeframe. Out: bars of a multiple of it, with ``coverage``: the share of the coarse bar's time
for which there were fine bars. 1m -> 5m -> 1h gives what 1m -> 1h gives, and volume is conserved but for the
last, unfinished bar, which never becomes a row.
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
        Sorted bars of ``source``; rows with a null close (gaps on the grid) are passed over. A ``coverage``
        column of an earlier resampling is carried on.
    target
        A whole multiple of ``source``; weeks begin on Monday, 00:00 UTC.

    Returns
    -------
    polars.DataFrame
        Bars and ``coverage`` in (0, 1]. The last coarse bar is there only if the fine bars reach its end.

    Raises
    ------
    ConfigError
        If ``target`` is no multiple of ``source``.
    """
    share = 1 / source.bars_in(target)
    if "coverage" not in bars.columns:
        bars = bars.with_columns(coverage=pl.lit(1.0))
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
        )
    )
    return coarse.filter(pl.col("close_time") <= bars["close_time"][-1])


def prepend_native(resampled: pl.DataFrame, native: pl.DataFrame) -> pl.DataFrame:
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
        If fewer than three complete rows overlap, or if any of them differs: then the two are not the same
        market, or their times are labelled differently.
    """
    complete = resampled.filter(pl.col("coverage") > 1 - 1e-9)
    both = complete.join(native, on="close_time", suffix="_native")
    if both.height < _MIN_OVERLAP:
        raise DataError(
            f"native history needs >= {_MIN_OVERLAP} complete bars that overlap the resampled ones, "
            f"found {both.height}; store native bars that reach into the base bars"
        )
    for name in ("open", "high", "low", "close", "volume"):
        ours, theirs = both[name].to_numpy(), both[f"{name}_native"].to_numpy()
        differs = ~np.isclose(ours, theirs, rtol=_RELATIVE_TOLERANCE, atol=0)
        if differs.any():
            row = int(differs.argmax())
            raise DataError(
                f"native history must equal the resampled bars where both exist; {name} differs in "
                f"{differs.sum()} of {both.height} rows, first at {both['close_time'][row]}: "
                f"{theirs[row]} stored, {ours[row]} resampled; import bars of the same market or set "
                "native_history to false"
            )
    older = native.filter(pl.col("close_time") < complete["close_time"][0])
    kept = resampled.filter(pl.col("close_time") >= complete["close_time"][0])
    return pl.concat([older.with_columns(coverage=pl.lit(1.0)).select(kept.columns), kept])
