"""Coarser bars out of finer ones, each known at its own close.

In: bars of a timeframe. Out: bars of a multiple of it, with ``coverage``: the share of the coarse bar's time
for which there were fine bars, filled ones among them, and ``filled``: whether any of them was filled in. 1m
-> 5m -> 1h gives what 1m -> 1h gives, and volume is conserved but for the last, unfinished bar, which never
becomes a row.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from polyscale.market.bars import TIME
from polyscale.market.errors import DataError
from polyscale.market.timeframe import Timeframe

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
_MIN_OVERLAP = 3  # rows that must agree before native history is believed
_RELATIVE_TOLERANCE = 1e-9


def resample(
    bars: pl.DataFrame, source: Timeframe, target: Timeframe, until: datetime | None = None
) -> pl.DataFrame:
    """Put bars together; known when: each row at its ``close_time``, the end of the coarse bar.

    Parameters
    ----------
    bars
        Sorted bars of ``source``; rows with a null close (gaps on the grid) are passed over. The columns
        ``coverage`` and ``filled`` of an earlier resampling or of the grid are carried on.
    target
        A whole multiple of ``source``; weeks begin on Monday, 00:00 UTC.
    until
        The time up to which the bars were watched; absent for the last row. It matters where the last rows
        of a coarse bar are missing: the bar is over all the same.

    Returns
    -------
    polars.DataFrame
        Bars, ``coverage`` in (0, 1] and ``filled``. The last coarse bar is there only if its end has
        been reached.

    Raises
    ------
    ConfigError
        If ``target`` is no multiple of ``source``.
    """
    share = 1 / source.bars_in(target)
    time_ms = bars["close_time"].dt.epoch("ms").to_numpy()
    numbers = [_numbers(bars, name) for name in ("open", "high", "low", "close", "volume", "turnover")]
    coverage = _numbers(bars, "coverage") if "coverage" in bars.columns else np.empty(0)
    some = "filled" in bars.columns and bars["filled"].any()
    filled = bars["filled"].to_numpy() if some else np.empty(0, np.bool_)
    rows, end_ms = _put_together(time_ms, (*numbers, coverage), filled, target.ms, target.offset_ms)
    opens, highs, lows, closes, volumes, turnovers, covered, any_filled = rows
    coarse = pl.DataFrame(
        {
            "close_time": pl.Series(end_ms).cast(TIME),
            "open": opens,
            "high": highs,
            "low": lows,
            "close": closes,
            "volume": volumes,
            "turnover": pl.Series(turnovers, nan_to_null=True),
            "coverage": covered * share,
            "filled": any_filled > 0,
        }
    )
    over = (
        bars.is_empty() or coarse.is_empty() or coarse["close_time"][-1] <= (until or bars["close_time"][-1])
    )
    return coarse if over else coarse.head(-1)


def _numbers(bars: pl.DataFrame, name: str) -> Floats:
    column = bars[name].cast(pl.Float64)
    return (column.fill_null(np.nan) if column.null_count() else column).to_numpy()


@njit(nogil=True, cache=True, error_model="numpy")
def _put_together(
    time_ms: Ints, columns: tuple[Floats, ...], filled: Bools, step_ms: int, offset_ms: int
) -> tuple[Floats, Ints]:
    """Walk the fine bars once: columns of the coarse ones [8, R], and their closes [R].

    Empty ``coverage`` stands for whole bars, empty ``filled`` for none that was filled in.
    """
    opens, highs, lows, closes, volumes, turnovers, coverage = columns
    num_rows = (time_ms[-1] - time_ms[0]) // step_ms + 2 if len(time_ms) else 0
    rows, ends = np.empty((8, num_rows)), np.empty(num_rows, np.int64)
    row, end = -1, 0
    high, low, close, volume, turnover, covered, num_filled = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0
    for t in range(len(time_ms) + 1):
        over = t == len(time_ms)
        if not over and np.isnan(closes[t]):
            continue
        if over or row < 0 or time_ms[t] > end:
            if row >= 0:
                rows[1, row], rows[2, row], rows[3, row] = high, low, close
                rows[4, row], rows[5, row], rows[6, row], rows[7, row] = volume, turnover, covered, num_filled
            if over:
                break
            row += 1
            end = (time_ms[t] - offset_ms - 1) // step_ms * step_ms + step_ms + offset_ms
            ends[row], rows[0, row] = end, opens[t]
            high, low, volume, turnover, covered, num_filled = highs[t], lows[t], 0.0, 0.0, 0.0, 0
        high = highs[t] if highs[t] > high else high
        low = lows[t] if lows[t] < low else low
        close = closes[t]
        volume += volumes[t]
        turnover += turnovers[t]
        covered += coverage[t] if len(coverage) else 1.0
        num_filled += filled[t] if len(filled) else 0
    return rows[:, : row + 1], ends[: row + 1]


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
