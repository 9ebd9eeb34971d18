"""One stage under audit: its inputs, what it gave on all of them, and how it is run again.

A stage that raises on fewer bars, though it gave rows there, cannot be tested; one that raises on wrecked
bars has refused them, and that is its right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import polars as pl

from polyscale.audit.frames import Frame, Ints, Stage, to_polars
from polyscale.audit.inputs import Inputs, Wreck
from polyscale.audit.plan import Plan
from polyscale.audit.record import Record
from polyscale.audit.rows import Rows, read_rows
from polyscale.market.errors import DataError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RefusalError(Exception):
    """The stage raised on bars that the audit made; the cause is its own error."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass(frozen=True, eq=False)
class Trial:
    """What every test of a stage needs."""

    stage: Stage
    inputs: Inputs
    whole: Rows  # what the stage gave on everything
    sizes: Mapping[str, float]  # typical size per column
    plan: Plan
    record: Record
    may_refuse: bool = False  # fewer rows, too

    @cached_property
    def step(self) -> int:
        """The usual time between bars, microseconds."""
        gaps = np.diff(self.inputs.bars.times)
        return int(np.median(gaps)) if len(gaps) else 0

    @cached_property
    def bar_times(self) -> Ints:
        """When bars are known, microseconds."""
        return self.inputs.bars.times

    def run(
        self, wreck: Wreck | None = None, inputs: Inputs | None = None, stage: Stage | None = None
    ) -> Rows:
        """Run the stage (or another) on the inputs (or others) after a wreck.

        Raises
        ------
        RefusalError
            If the stage raises.
        """
        bars, sources = (inputs or self.inputs).frames(wreck)
        try:
            answer = (stage or self.stage)(bars, **sources)
        except Exception as error:
            raise RefusalError(error) from error
        return read_rows(read_answer(answer))


def first_answer(stage: Stage, inputs: Inputs) -> pl.DataFrame:
    """Run the stage on everything.

    Raises
    ------
    DataError
        If it raises, gives no frame with times, or no rows: then there is nothing to test.
    """
    bars, sources = inputs.frames()
    try:
        answer = read_answer(stage(bars, **sources))
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"audit: the stage must run on all bars, it raised {type(error).__name__}: {first_line(error)}"
        ) from error
    if answer.is_empty():
        raise DataError("audit: the stage must give at least 1 row on all bars, got 0; give more bars")
    return answer


def read_answer(answer: Frame) -> pl.DataFrame:
    """A stage's rows in polars, their time named ``close_time``."""
    frame, time, _ = to_polars(answer, "what the stage gives", ("close_time",))
    return frame.rename({time: "close_time"})


def first_line(error: Exception) -> str:
    """What an error says, without its later lines."""
    return next(iter(str(error).splitlines()), "")


def instant(microseconds: int) -> datetime:
    """Exactly, in UTC."""
    return _EPOCH + timedelta(microseconds=int(microseconds))
