"""Does a frozen fit see rows after the end of training? A scaler, a threshold, weights: none may.

In: a fit, bars of training and of what follows. Everything after the end of training is wrecked, and every
number that was fitted must stay. Nothing is taken away: a fit may split by a share of the rows it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from polyscale.audit.causality import ROWS
from polyscale.audit.check import look_ahead
from polyscale.audit.frames import Frame
from polyscale.audit.inputs import Inputs, read_inputs
from polyscale.audit.outcome import Audit
from polyscale.audit.plan import Plan
from polyscale.audit.poisons import POISONS
from polyscale.audit.record import Record
from polyscale.audit.rows import read_rows, typical_sizes
from polyscale.audit.times import IN, check_wrong_inputs
from polyscale.audit.trial import Trial, first_answer
from polyscale.market.errors import DataError

FrozenFit = Callable[..., Mapping[str, Any]]
_NAME = "frozen fit"


def check_frozen_fit(
    fit: FrozenFit,
    bars: Frame,
    train_end: datetime,
    sources: Mapping[str, Frame] | None = None,
    *,
    plan: Plan | None = None,
) -> Audit:
    """Wreck all that is known after the end of training; nothing that was fitted may move.

    Parameters
    ----------
    fit
        ``fit(bars, **sources)`` gives what was fitted by name: numbers, words, arrays, or mappings of them.
    bars
        As for `check`; they must reach beyond ``train_end``.
    train_end
        Rows that are known then may be used.

    Raises
    ------
    DataError
        If no bars lie on one side of ``train_end``, or if the fit raises or gives nothing.
    """
    plan = (plan or Plan()).model_copy(update={"whole_cuts": (train_end,), "newest_cuts": 0})
    record = Record((IN, *POISONS, ROWS))
    inputs = read_inputs(bars, sources, plan.seed)
    if not isinstance(inputs, Inputs):
        check_wrong_inputs(inputs, record)
        return record.audit().named(_NAME)
    end = train_end if train_end.tzinfo else train_end.replace(tzinfo=UTC)
    known, size = inputs.bars.known_at(round(end.timestamp() * 1_000_000)), len(inputs.bars.times)
    if not 0 < known < size:
        raise DataError(
            f"audit: train_end must have bars on both sides, got {known:,} up to {end:%Y-%m-%d %H:%M} and "
            f"{size - known:,} after it; give bars of training and of what follows"
        )

    def stage(bars: Frame, **sources: Frame) -> pl.DataFrame:
        return _as_row(fit(bars, **sources), end)

    whole = read_rows(first_answer(stage, inputs))
    look_ahead(Trial(stage, inputs, whole, typical_sizes(whole), plan, record), methods=POISONS)
    audit = record.audit()
    if not any(scope.rows for scope in audit.tests if scope.test in POISONS):
        notes = "; ".join(note for scope in audit.tests for note in scope.notes)
        raise DataError(
            f"audit: the fit must run beside a wrecked future at least once, or nothing is tested: {notes}; "
            "let it take any numbers after train_end, and check them outside of it"
        )
    return audit.named(_NAME)


def _as_row(fitted: Mapping[str, Any], end: datetime) -> pl.DataFrame:
    """What was fitted, as one row at the end of training."""
    if not isinstance(fitted, Mapping) or not fitted:
        raise DataError(
            f"audit: a frozen fit must give what it fitted by name, at least one, got {fitted!r}; give a dict"
        )
    values = {name: [value] for key, inner in fitted.items() for name, value in _flat(str(key), inner)}
    return pl.DataFrame({"close_time": [end], **values}, strict=False)


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    elif isinstance(value, str) or np.ndim(value) == 0:
        yield name, value.item() if isinstance(value, np.generic | np.ndarray) else value
    else:
        for index, inner in enumerate(np.asarray(value).ravel().tolist()):
            yield f"{name}[{index}]", inner
