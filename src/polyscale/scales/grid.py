"""Bars on their regular grid: a row shift is a time shift, and a missing bar is a null row.

In: checked bars, which may have gaps. Out: one row per grid time from the first bar to the last.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from polyscale.market.timeframe import Timeframe


def to_grid(
    bars: pl.DataFrame, timeframe: Timeframe, max_fill: int = 0, until: datetime | None = None
) -> pl.DataFrame:
    """Lay bars on their grid; known when: each row at its ``close_time``.

    The first ``max_fill`` missing bars of every gap become flat bars at the last close with no volume (nobody
    traded, as far as we know); the rest of a longer gap stays null. Whether a gap will be long is not known
    while it lasts, so its length decides nothing.

    Parameters
    ----------
    bars
        Checked bars, at least one row.
    max_fill
        Missing bars to fill after the last bar seen, >= 0.
    until
        Where the grid ends; absent for the last bar. Rows after the last bar are null.

    Returns
    -------
    polars.DataFrame
        The columns of ``bars`` and ``filled``: whether the row was filled in.
    """
    time = bars["close_time"]
    end = until or time[-1]
    if bars.height == (end - time[0]).total_seconds() // (60 * timeframe.minutes) + 1:  # on the grid already
        return bars.with_columns(filled=pl.lit(value=False))
    grid = pl.datetime_range(time[0], end, f"{timeframe.minutes}m", time_unit="ms", eager=True)
    laid = pl.DataFrame({"close_time": grid}).join(bars, on="close_time", how="left", maintain_order="left")
    if max_fill == 0:
        return laid.with_columns(filled=pl.lit(value=False))
    missing = pl.col("close").is_null()
    last_close = pl.col("close").forward_fill(limit=max_fill)
    fill = missing & last_close.is_not_null()
    flat = [
        pl.when(fill).then(last_close).otherwise(name).alias(name)
        for name in ("open", "high", "low", "close")
    ]
    empty = [pl.when(fill).then(0.0).otherwise(name).alias(name) for name in ("volume", "turnover")]
    return laid.with_columns(flat + empty + [fill.alias("filled")])
