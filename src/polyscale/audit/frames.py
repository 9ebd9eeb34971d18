"""Frames as a user hands them in, polars or pandas: to polars, and back to what the user gave.

pandas is no dependency: a frame of it is recognised by its module's name, and only a user who has it can give
one. A time is a column, or the `DatetimeIndex` of a pandas frame; a time without a zone is UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.market.errors import DataError

Ints = NDArray[np.int64]
Frame = Any  # a polars or a pandas DataFrame
Stage = Callable[..., Frame]  # stage(bars, **sources) -> rows
_INDEX = "close_time"


@dataclass(frozen=True)
class Form:
    """How a frame was given, so that it can be given back alike."""

    pandas: bool = False
    by_index: bool = False  # the time is the index
    index_name: str | None = None


def to_polars(frame: Frame, name: str, times: Sequence[str]) -> tuple[pl.DataFrame, str, Form]:
    """Take a user's frame: its rows in polars, the column that says when each is known, and its form.

    Parameters
    ----------
    name
        What it is called in errors.
    times
        Names that its time column may have, the best first.

    Raises
    ------
    DataError
        If it is no frame, or has no such column, or one that holds no times.
    """
    form = Form()
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if type(frame).__module__.split(".")[0] == "pandas":
        frame, form = _from_pandas(frame)
    if not isinstance(frame, pl.DataFrame):
        raise DataError(
            f"audit: {name} must be a polars or pandas DataFrame with {' or '.join(times)}, "
            f"got {type(frame).__name__}"
        )
    time = next((column for column in times if column in frame.columns), None)
    if time is None:
        raise DataError(
            f"audit: {name} must have a column {' or '.join(times)} (or, in pandas, a DatetimeIndex), which "
            f"says when a row is known; got {frame.columns}"
        )
    if frame.schema[time] not in (pl.Datetime, pl.Date):
        raise DataError(f"audit: {time} of {name} must hold times, got {frame.schema[time]}; cast it first")
    return frame, time, form


def _from_pandas(frame: Frame) -> tuple[pl.DataFrame, Form]:
    if type(frame).__name__ == "Series":
        frame = frame.to_frame(frame.name if frame.name is not None else "value")
    if type(frame.index).__name__ != "DatetimeIndex" or _INDEX in frame.columns:
        return pl.from_pandas(frame), Form(pandas=True)
    form = Form(pandas=True, by_index=True, index_name=frame.index.name)
    return pl.from_pandas(frame.rename_axis(_INDEX).reset_index()), form


def to_user(frame: pl.DataFrame, form: Form) -> Frame:
    """Give a frame in the user's form."""
    if not form.pandas:
        return frame.clone()  # columns are shared, but what a stage adds or drops in place stays its own
    given = frame.to_pandas()
    return given.set_index(_INDEX).rename_axis(form.index_name) if form.by_index else given


def microseconds(times: pl.Series) -> Ints:
    """Instants since 1970; the times must not be null."""
    return times.cast(pl.Datetime("us", getattr(times.dtype, "time_zone", None))).dt.epoch("us").to_numpy()
