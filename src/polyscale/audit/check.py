"""Does any row of a stage know its future? The audit of any function from bars to rows.

A row at t may know bars with ``close_time <= t`` and rows of other sources whose time is <= t, and nothing
else. In: a stage, bars, sources. Out: an `Audit`: what was tested, and for each leak the column, the row,
what it knew, and how far ahead.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from polyscale.audit.causality import (
    CAUSAL,
    EVER,
    LIVE,
    ROWS,
    Live,
    attempt,
    judge,
    newest_attempts,
    whole_attempts,
)
from polyscale.audit.cuts import newest_cuts, whole_cuts
from polyscale.audit.frames import Frame, Stage
from polyscale.audit.inputs import PREFIX, Inputs, Wreck, read_inputs
from polyscale.audit.locate import locate
from polyscale.audit.outcome import Audit
from polyscale.audit.plan import Plan
from polyscale.audit.poisons import HUGE, PERMUTED, POISONS
from polyscale.audit.record import Record
from polyscale.audit.rows import compare, read_rows, typical_sizes
from polyscale.audit.times import FINITE, IN, OUT, check_answer, check_finite, check_input, check_wrong_inputs
from polyscale.audit.trial import RefusalError, Trial, first_answer
from polyscale.audit.warm_up import WARM_UP, WarmUp, check_warm_up_names, starts_of_bars, truncate
from polyscale.market.errors import ConfigError, DataError

_TESTS = (IN, OUT, FINITE, *CAUSAL, WARM_UP)


def check(
    stage: Stage,
    bars: Frame,
    sources: Mapping[str, Frame] | None = None,
    *,
    warm_up: WarmUp = None,
    newest: Stage | None = None,
    memory: int | None = None,
    plan: Plan | None = None,
) -> Audit:
    """Test a stage: look-ahead by removal and by poison, warm-up, times, infinities.

    Parameters
    ----------
    stage
        ``stage(bars, **sources)`` gives rows with a ``close_time``. It is handed polars or pandas frames, as
        ``bars`` and ``sources`` are, and may give either back; in pandas a `DatetimeIndex` is the time.
    bars
        Bars of one market with ``close_time``, from which each may be known. Times without a zone are UTC.
    sources
        Other frames by the name of the stage's argument; their ``close_time`` or ``time`` says when each row
        is known.
    warm_up
        Bars that a value needs, the newest included, for all columns or by column; earlier rows may be wrong
        when bars begin later. Absent: every value that is there must be right (null until warm).
    newest
        A cheaper function, such as a live step: ``newest(bars, since=instant, **sources)`` gives the rows
        after an instant alone. It is compared with the whole run at many instants.
    memory
        Bars on which the newest rows depend; many cuts then run on so many bars only.
    plan
        How many cuts, tolerance, seed.

    Returns
    -------
    Audit
        At most one finding per test and column. Null and NaN are both missing.

    Raises
    ------
    DataError
        If frames have no times, if the stage raises or gives no rows on all bars, or raises on fewer bars
        where it had rows. A stage that raises on poisoned bars has refused them; that is noted.
    ConfigError
        For a warm-up of a column that is not there.
    """
    plan = plan or Plan()
    if plan.whole_cuts in (0, ()) and plan.newest_cuts == 0 and plan.truncations == 0:
        raise ConfigError("audit: a plan must have cuts or truncations, got none: nothing would be tested")
    record = Record(_TESTS)
    inputs = read_inputs(bars, sources, plan.seed)
    if not isinstance(inputs, Inputs):
        check_wrong_inputs(inputs, record)
        return record.audit()
    for given in inputs.all:
        check_input(given, record)
    answer = first_answer(stage, inputs)
    whole = read_rows(answer)
    check_warm_up_names(warm_up, whole)
    trial = Trial(stage, inputs, whole, typical_sizes(whole), plan, record)
    check_answer(answer, trial)
    check_finite(whole, record)
    look_ahead(trial, Live(newest, memory))
    if newest is None and memory is None:
        record.note(LIVE, "is prefix: neither a step nor a memory was given")
    for start in starts_of_bars(trial):
        truncate(trial, start, warm_up)
    if newest is None:  # two whole runs more: who brings a step has a stage that is dear
        _note_deaf(trial)
    return record.audit()


def _note_deaf(trial: Trial) -> None:
    """Columns that stay as they are though all inputs are others: from elsewhere, or from the clock."""
    deaf = set(trial.whole.columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for method in (HUGE, PERMUTED):
            try:
                found = trial.run(Wreck(method, EVER))
            except RefusalError:
                continue
            if not np.array_equal(found.times, trial.whole.times):
                return
            deaf -= {moved.column for moved in compare(trial.whole, found, trial.sizes, trial.plan)}
    if deaf:
        what = "all columns" if len(deaf) == len(trial.whole.columns) else ", ".join(sorted(deaf))
        trial.record.note(ROWS, f"the same whatever the inputs are: {what}")


def look_ahead(trial: Trial, live: Live | None = None, methods: tuple[str, ...] = (PREFIX, *POISONS)) -> None:
    """Wreck the future at whole cuts and at newest ones, and follow what moved to its source."""
    whole, newest = whole_cuts(trial), newest_cuts(trial)
    todo = [each for cut in whole for each in whole_attempts(trial, cut, methods)]
    for i, cut in enumerate(newest):
        todo += newest_attempts(trial, cut, POISONS[i % len(POISONS)], live or Live())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # wrecked values overflow; that is our doing
        with ThreadPoolExecutor(trial.plan.threads) as pool:
            for each, outcome in zip(todo, pool.map(partial(attempt, trial), todo), strict=True):
                judge(trial, each, outcome)
        if whole or newest:
            _note_untested(trial, max([*whole, *newest]))
        if trial.plan.locate:
            locate(trial)


def _note_untested(trial: Trial, latest: int) -> None:
    """Columns that had no value before any cut: of them nothing was asked."""
    present = trial.whole.between(EVER, latest).present()
    names = [name for name, there in present.items() if not there.any()]
    if names and len(names) == len(present):
        raise DataError(
            f"audit: a stage must give values before a cut to be tested, got none in {names}; give more bars"
        )
    if names:
        trial.record.note(ROWS, f"no value before any cut, not tested: {', '.join(names)}")
