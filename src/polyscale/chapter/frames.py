"""pandas at the edge: frames of a user to checked bars, and rows of ours to frames.

In: a frame of open, high, low, close and volume with a time index. Out: bars in the contract, and how long
one of them is. Frames that leave have ``close_time`` in UTC as their index: from then on a row is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from polyscale.market.bars import TIME, check_bars
from polyscale.market.errors import ConfigError, DataError, HistoryError
from polyscale.market.timeframe import MINUTE_MS, Timeframe

if TYPE_CHECKING:
    import pandas as pd

Label = Literal["open", "close"]
_NUMBERS = ("open", "high", "low", "close", "volume")


def to_bars(frame: pd.DataFrame, label: Label | None = None) -> tuple[pl.DataFrame, Timeframe]:
    """Read a frame of candles.

    Parameters
    ----------
    frame
        Columns open, high, low, close, volume and perhaps turnover; rows without prices are missing bars.
        An index without a zone is in UTC.
    label
        Whether the index is the open or the close of a bar. Absent: an index named ``close_time`` is the
        close, any other the open, which is what exchanges and `pandas.DataFrame.resample` label a bar with.
        If that is wrong, rows are known one bar later than they could be, and never too early.

    Returns
    -------
    tuple
        Checked bars, and their timeframe: the smallest step of the index.

    Raises
    ------
    DataError
        If the frame is none of candles, or breaks the contract of bars.
    HistoryError
        If there are fewer than two bars.
    """
    _check(frame)
    given = frame.loc[frame[list(_NUMBERS[:4])].notna().any(axis=1)]
    time_ms = epoch_ms(given.index)
    if len(time_ms) < 2:
        raise HistoryError(f"the length of a bar needs at least 2 bars, found {len(time_ms)}; give more")
    step_ms = int(np.diff(np.sort(time_ms)).min())
    if step_ms % MINUTE_MS or step_ms == 0:
        raise DataError(
            f"bars must be whole minutes apart, each time once; the smallest step is {step_ms} ms"
        )
    timeframe = Timeframe(step_ms // MINUTE_MS)
    is_close = label == "close" or (label is None and frame.index.name == "close_time")
    columns = {name: given[name].to_numpy(np.float64) for name in _NUMBERS}
    if "turnover" in given.columns:
        turnover = given["turnover"].to_numpy(np.float64, na_value=np.nan)
        columns["turnover"] = pl.Series(turnover, nan_to_null=True)
    close_time = pl.Series(time_ms + (0 if is_close else step_ms)).cast(TIME)
    return check_bars(pl.DataFrame({"close_time": close_time, **columns}), timeframe), timeframe


def to_frame(rows: pl.DataFrame) -> pd.DataFrame:
    """Rows with ``close_time`` as a frame with that index; what is null is NaN."""
    import pandas as pd

    index = time_index(rows["close_time"].dt.epoch("ms").to_numpy())
    columns = {
        name: rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        for name in rows.columns
        if name != "close_time"
    }
    return pd.DataFrame(columns, index=index)


def time_index(close_ms: np.ndarray) -> pd.DatetimeIndex:
    """Epoch milliseconds as an index named ``close_time``, in UTC."""
    import pandas as pd

    return pd.DatetimeIndex(close_ms.astype("datetime64[ms]"), tz="UTC", name="close_time")


def epoch_ms(index: pd.Index) -> np.ndarray:
    """A time index as epoch milliseconds; without a zone it is in UTC.

    Raises
    ------
    DataError
        If it is no time index.
    """
    import pandas as pd

    if not isinstance(index, pd.DatetimeIndex):
        raise DataError(
            f"the index must be times (pandas.DatetimeIndex), got {type(index).__name__}; set it with "
            "frame.set_index(pandas.to_datetime(...))"
        )
    naive = index.tz_convert("UTC").tz_localize(None) if index.tz is not None else index
    return naive.to_numpy().astype("datetime64[ms]").astype(np.int64)


def _check(frame: pd.DataFrame) -> None:
    columns = getattr(frame, "columns", None)
    if columns is None:
        raise DataError(f"candles must be a pandas.DataFrame, got {type(frame).__name__}")
    missing = [name for name in _NUMBERS if name not in columns]
    if missing:
        raise DataError(f"candles must have the columns {list(_NUMBERS)}, missing {missing}; rename yours")


def timeframes(names: object) -> list[Timeframe]:
    """Read names of scales or horizons: ``1min``, ``5m``, ``1H``, ``1D``.

    Raises
    ------
    ConfigError
        For one that is no timeframe, or for a single text, which is no list of them.
    """
    if isinstance(names, str):
        raise ConfigError(f"scales must be a list such as ['1min', '1H'], got the text {names!r}")
    return [Timeframe.parse(name) for name in names]  # type: ignore[attr-defined]
