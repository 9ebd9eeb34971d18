"""Does an online fit use labels before they have ended? At t it may know those with ``label_end <= t`` alone.

In: a fit that goes along with time, and the rows it learns from. The labels are audited as a source of their
own, each known at its end; what is known at a row's time is another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from polyscale.audit.causality import ROWS
from polyscale.audit.check import look_ahead
from polyscale.audit.frames import Form, Frame, Ints, microseconds, to_polars, to_user
from polyscale.audit.inputs import PREFIX, Inputs, read_inputs
from polyscale.audit.outcome import Audit
from polyscale.audit.plan import Plan
from polyscale.audit.poisons import POISONS
from polyscale.audit.record import Record
from polyscale.audit.rows import read_rows, typical_sizes
from polyscale.audit.times import IN, check_wrong_inputs
from polyscale.audit.trial import Trial, first_answer
from polyscale.market.errors import DataError

OnlineFit = Callable[[Frame], Frame]
_NAME = "online fit"


def check_online_fit(
    fit: OnlineFit, labels: Frame, *, known_at_time: Sequence[str] = (), plan: Plan | None = None
) -> Audit:
    """Wreck labels that have not ended, and rows that have not come; earlier rows may not move.

    Parameters
    ----------
    fit
        ``fit(labels)`` gives a frame with ``time``: what is known or forecast at each.
    labels
        ``time``, ``label_end`` >= time, and columns: labels, known at their end, and others.
    known_at_time
        Columns that are no labels but known at ``time``: regressors.
    plan
        How many cuts, tolerance, seed.

    Raises
    ------
    DataError
        If ``label_end`` is missing, null or before ``time``; if the fit raises or gives no rows. A fit that
        raises where labels are missing or wrecked has refused them.
    """
    plan = plan or Plan()
    frame, form = _read(labels)
    names = [name for name in frame.columns if name not in ("time", "label_end", *known_at_time)]
    order = frame["label_end"].arg_sort()
    rows = frame.select(pl.col("time").alias("close_time"), *known_at_time)
    ended = frame[order].select(pl.col("label_end").alias("time"), *names)
    record = Record((IN, PREFIX, *POISONS, ROWS))
    inputs = read_inputs(rows, {"labels": ended}, plan.seed, name="rows")
    if not isinstance(inputs, Inputs):
        check_wrong_inputs(inputs, record)
        return record.audit().named(_NAME)

    def stage(rows: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
        known = _assemble(rows, labels, frame, order.to_numpy())
        answer, time, _ = to_polars(fit(to_user(known, form)), "what the fit gives", ("time", "close_time"))
        return answer.rename({time: "close_time"})

    whole = read_rows(first_answer(stage, inputs))
    look_ahead(Trial(stage, inputs, whole, typical_sizes(whole), plan, record, may_refuse=True))
    return record.audit().named(_NAME)


def _read(labels: Frame) -> tuple[pl.DataFrame, Form]:
    frame, time, form = to_polars(labels, "labels", ("time", "close_time"))
    frame = frame.rename({time: "time"})
    if frame.schema.get("label_end") not in (pl.Datetime, pl.Date):
        raise DataError(f"audit: labels must have times label_end, when each is known, got {frame.schema}")
    if frame["label_end"].null_count() or frame["time"].null_count():
        raise DataError("audit: time and label_end of labels must not be null; leave those rows out")
    early = np.flatnonzero(microseconds(frame["label_end"]) < microseconds(frame["time"]))
    if len(early):
        raise DataError(
            f"audit: label_end must be >= time, broken in {len(early):,} rows, "
            f"first {frame.row(int(early[0]))}"
        )
    return frame, form


def _assemble(rows: pl.DataFrame, labels: pl.DataFrame, whole: pl.DataFrame, order: Ints) -> pl.DataFrame:
    """The rows that have come, in the whole frame's columns; labels that have not ended are null."""
    place = np.full(whole.height, labels.height)  # beyond the last: null
    place[order[: labels.height]] = np.arange(labels.height)
    known = pl.Series(np.where(place < labels.height, place, -1)).replace({-1: None}).head(rows.height)
    columns = [labels[name].gather(known) for name in labels.columns if name != "time"]
    parts = [
        whole.select("time", "label_end").head(rows.height),
        rows.drop("close_time"),
        pl.DataFrame(columns),
    ]
    return pl.concat(parts, how="horizontal").select(whole.columns)
