"""The holes in a series of bars, counted from its close times."""

from __future__ import annotations

import polars as pl

from polyscale.market.timeframe import Timeframe


def gaps_between(close_times: pl.Series, timeframe: Timeframe) -> pl.DataFrame:
    """List every pair of neighbours that are more than one bar apart.

    Parameters
    ----------
    close_times
        Sorted and unique, on the grid of the timeframe.

    Returns
    -------
    pl.DataFrame
        ``after_close_time`` (the last bar before the hole), ``next_close_time`` (the first one behind it),
        ``missing_bars``.
    """
    step = pl.col("after_close_time").dt.epoch("ms")
    num_steps = (pl.col("next_close_time").dt.epoch("ms") - step) // timeframe.ms
    pairs = pl.DataFrame({"after_close_time": close_times, "next_close_time": close_times.shift(-1)})
    return pairs.with_columns(missing_bars=num_steps - 1).filter(pl.col("missing_bars") > 0)
