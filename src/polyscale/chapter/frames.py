"""pandas at the edge: frames of a user to checked bars, and rows of ours to frames.

In: a frame of open, high, low, close and volume with a time index. Out: bars in the contract, and how long
one of them is. Frames that leave have ``close_time`` in UTC as their index: from then on a row is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import DTypeLike, NDArray

from polyscale.market.bars import TIME, check_bars
from polyscale.market.errors import ConfigError, DataError, HistoryError
from polyscale.market.timeframe import MINUTE_MS, Timeframe

if TYPE_CHECKING:
    import pandas as pd

Label = Literal["open", "close"]
CLOSE_TIME: Final = "close_time"
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
    ConfigError
        If ``label`` is another word.
    """
    _check(frame)
    if label not in (None, *get_args(Label)):
        raise ConfigError(
            f"label must be one of {get_args(Label)}, or None for what the index says, got {label!r}"
        )
    given = frame.loc[frame[list(_NUMBERS[:4])].notna().any(axis=1)]
    time_ms = epoch_ms(given.index, "the index of candles")
    if len(time_ms) < 2:
        raise HistoryError(f"the length of a bar needs at least 2 bars, found {len(time_ms)}; give more")
    step_ms = int(np.diff(np.sort(time_ms)).min())
    if step_ms % MINUTE_MS or step_ms == 0:
        raise DataError(
            f"bars must be whole minutes apart, each time once; the smallest step is {step_ms} ms"
        )
    timeframe = Timeframe(step_ms // MINUTE_MS)
    is_close = label == "close" or (label is None and frame.index.name == CLOSE_TIME)
    columns: dict[str, Any] = {name: floats(given[name], f"{name} of candles") for name in _NUMBERS}
    if "turnover" in given.columns:
        columns["turnover"] = pl.Series(floats(given["turnover"], "turnover of candles"), nan_to_null=True)
    close_time = pl.Series(time_ms + (0 if is_close else step_ms)).cast(TIME)
    return check_bars(pl.DataFrame({"close_time": close_time, **columns}), timeframe), timeframe


def to_frame(rows: pl.DataFrame) -> pd.DataFrame:
    """Rows with ``close_time`` as a frame with that index; what is null is NaN."""
    pd = pandas()
    index = time_index(rows["close_time"].dt.epoch("ms").to_numpy())
    columns = {
        name: rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        for name in rows.columns
        if name != "close_time"
    }
    return pd.DataFrame(columns, index=index)


def time_index(close_ms: NDArray[np.int64]) -> pd.DatetimeIndex:
    """Epoch milliseconds as an index named ``close_time``, in UTC."""
    pd = pandas()
    return pd.DatetimeIndex(close_ms.astype("datetime64[ms]"), tz="UTC", name=CLOSE_TIME)


def epoch_ms(index: pd.Index, what: str = "the index") -> NDArray[np.int64]:
    """A time index as epoch milliseconds; without a zone it is in UTC.

    Raises
    ------
    DataError
        If it is no time index, or a time is missing.
    """
    pd = pandas()
    if not isinstance(index, pd.DatetimeIndex):
        raise DataError(
            f"{what} must be times (pandas.DatetimeIndex), got {type(index).__name__}; set it with "
            "frame.set_index(pandas.to_datetime(...))"
        )
    if index.hasnans:
        raise DataError(f"{what} must have a time in every row, {index.isna().sum()} have none; drop them")
    naive = index.tz_convert("UTC").tz_localize(None) if index.tz is not None else index
    return naive.to_numpy().astype("datetime64[ms]").astype(np.int64)


def closes_ms(index: pd.Index, what: str, label: Label | None = None) -> NDArray[np.int64]:
    """Times from which rows are known, as epoch milliseconds; rows of an index of another name may be opens.

    Raises
    ------
    DataError
        If the index is none of times that rise, or is not named ``close_time`` while ``label`` does not say
        that it is the close.
    """
    time_ms = epoch_ms(index, what)
    if index.name != CLOSE_TIME and label != "close":
        raise DataError(
            f"{what} must be named close_time and say from when each row is known, got the name "
            f"{index.name!r}; pandas labels a bar by its open: shift it to the close, then rename it"
        )
    if (np.diff(time_ms) <= 0).any():
        row = int(np.argmax(np.diff(time_ms) <= 0)) + 1
        raise DataError(f"{what} must rise, broken in row {row}: {index[row]}; sort it, keep each time once")
    return time_ms


def floats(given: object, what: str, dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """Numbers as an array: of NumPy, pandas, torch or lists; float32 has inf for what it cannot hold.

    Raises
    ------
    DataError
        If they are no numbers, or lists of uneven lengths.
    """
    if hasattr(given, "detach"):  # a tensor; torch itself is not needed here
        given = given.detach().cpu()
    try:
        with np.errstate(over="ignore"):
            if hasattr(given, "to_numpy"):  # of pandas, whose missing value may be no float
                return np.asarray(given.to_numpy(np.float64, na_value=np.nan), dtype)
            return np.asarray(given, dtype)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} must be numbers: {error}") from error


def pandas() -> Any:
    """The package, which is an extra.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    try:
        return import_module("pandas")
    except ImportError as error:
        raise ConfigError(
            "frames need the package pandas, which is not installed; pip install 'polyscale[pandas]'"
        ) from error


def _check(frame: pd.DataFrame) -> None:
    pd = pandas()
    if not isinstance(frame, pd.DataFrame):
        kind, library = type(frame).__name__, type(frame).__module__.split(".")[0]
        raise DataError(f"candles must be a pandas.DataFrame, got {kind} of {library}")
    missing = [name for name in _NUMBERS if name not in frame.columns]
    if missing:
        raise DataError(f"candles must have the columns {list(_NUMBERS)}, missing {missing}; rename yours")
    twice = sorted({name for name in frame.columns[frame.columns.duplicated()] if name in _NUMBERS})
    if twice:
        raise DataError(f"candles must have each column once, got {twice} more often; drop one")


def timeframes(names: object, what: str = "scales") -> list[Timeframe]:
    """Read names of scales or horizons: ``1min``, ``5m``, ``1H``, ``1D``.

    Raises
    ------
    ConfigError
        For one that is no timeframe, for none, or for a single text, which is no list of them.
    """
    listed = list(names) if isinstance(names, Iterable) and not isinstance(names, str) else []
    if not listed:
        found = f"the text {names!r}" if isinstance(names, str) else repr(names)
        raise ConfigError(f"{what} must be a list such as ['1min', '1H'], got {found}")
    return [Timeframe.parse(name) for name in listed]


def three_horizons(names: object) -> tuple[Timeframe, ...]:
    """Read short, medium and long term.

    Raises
    ------
    ConfigError
        If they are not three timeframes that rise.
    """
    ahead = timeframes(names, "horizons")
    if len(ahead) != 3 or ahead != sorted(set(ahead)):
        found = [str(each) for each in ahead]
        raise ConfigError(f"horizons must be three that rise (short, medium, long term), got {found}")
    return tuple(ahead)
