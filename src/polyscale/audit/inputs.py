"""What a stage is fed: bars and other sources, each row known at its own time; and any part of it, wrecked.

In: frames of a user. Out: `Inputs`, which gives the stage all of them, or with what was not available at an
instant taken away or wrecked, in all sources at once or in one column alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from polyscale.audit.frames import Form, Frame, Ints, microseconds, to_polars, to_user
from polyscale.audit.poisons import wreck_all
from polyscale.market.errors import DataError

PREFIX: Final = "prefix"
_MIN_BARS: Final = 2  # a past and a future
_BAR_TIMES = ("close_time",)
_SOURCE_TIMES = ("close_time", "time")


@dataclass(frozen=True)
class Wreck:
    """What is done to rows that become known after an instant; to all inputs, or to one, or to a column."""

    method: str  # PREFIX takes the rows away; or a poison
    after: int  # microseconds since 1970
    source: str | None = None
    column: str | None = None


@dataclass(frozen=True, eq=False)
class Input:
    """One frame, the times at which its rows are known, and its wrecked copies."""

    name: str
    frame: pl.DataFrame
    time: str
    times: Ints  # [T] rising
    form: Form
    poisons: Mapping[str, pl.DataFrame]

    @property
    def columns(self) -> list[str]:
        """All but the time."""
        return [name for name in self.frame.columns if name != self.time]

    def known_at(self, instant: int) -> int:
        """How many rows are known."""
        return int(np.searchsorted(self.times, instant, side="right"))

    def wrecked(self, wreck: Wreck) -> pl.DataFrame:
        """The frame after a wreck; rows that were known share memory with it."""
        if wreck.source not in (None, self.name):
            return self.frame
        known = self.known_at(wreck.after)
        past = self.frame.head(known)
        if wreck.method == PREFIX:
            return past
        ruin = self.poisons[wreck.method].slice(known)
        if wreck.column is not None:
            ruin = self.frame.slice(known).with_columns(ruin[wreck.column])
        return pl.concat([past, ruin])

    def rows(self, first: int, last: int) -> Input:
        """Rows from ``first`` up to ``last``, that one not."""
        return replace(
            self,
            frame=self.frame.slice(first, last - first),
            times=self.times[first:last],
            poisons={kind: frame.slice(first, last - first) for kind, frame in self.poisons.items()},
        )


@dataclass(frozen=True, eq=False)
class Inputs:
    """Bars, and other sources by name."""

    bars: Input
    sources: tuple[Input, ...]

    @property
    def all(self) -> tuple[Input, ...]:
        """Bars first."""
        return (self.bars, *self.sources)

    def frames(self, wreck: Wreck | None = None) -> tuple[Frame, dict[str, Frame]]:
        """What the stage is called with, in the user's own kind of frame."""
        bars, *sources = (
            to_user(each.frame if wreck is None else each.wrecked(wreck), each.form) for each in self.all
        )
        return bars, {each.name: frame for each, frame in zip(self.sources, sources, strict=True)}

    def window(self, first: int, last: int) -> Inputs:
        """Bars ``first .. last - 1``; of the sources all that is known by the last of them.

        The sources' past is kept whole: it is short, and how much of it a row needs is not said in bars.
        """
        bars = self.bars.rows(first, last)
        until = int(bars.times[-1])
        return Inputs(bars, tuple(source.rows(0, source.known_at(until)) for source in self.sources))

    def since(self, first: int) -> Inputs:
        """Bars from ``first`` on; the sources are whole."""
        return replace(self, bars=self.bars.rows(first, len(self.bars.times)))


def read_inputs(
    bars: Frame, sources: Mapping[str, Frame] | None, seed: int, name: str = "bars"
) -> Inputs | dict[str, pl.Series]:
    """Take the user's frames.

    Returns
    -------
    Inputs
        Or, where times are null or do not rise, these times by the name of their frame: nothing can be cut
        there.

    Raises
    ------
    DataError
        If a frame is none, has no time column, or if there are fewer than two bars.
    """
    given = [(name, *to_polars(bars, name, _BAR_TIMES))]
    given += [(other, *to_polars(frame, other, _SOURCE_TIMES)) for other, frame in (sources or {}).items()]
    if given[0][1].height < _MIN_BARS:
        raise DataError(
            f"audit: {name} must have >= {_MIN_BARS} rows, got {given[0][1].height}; give more bars"
        )
    wrong = {each: frame[time] for each, frame, time, _ in given if not _rising(frame[time])}
    if wrong:
        return wrong
    first, *others = (
        Input(each, frame, time, microseconds(frame[time]), form, wreck_all(frame, time, seed))
        for each, frame, time, form in given
    )
    return Inputs(first, tuple(others))


def _rising(times: pl.Series) -> bool:
    return times.null_count() == 0 and times.is_sorted()
