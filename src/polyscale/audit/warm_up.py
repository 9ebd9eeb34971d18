"""Is a value right from when it is there? The bars are begun later, and rows must be null or as they were.

The contract is *null until warm*: a value that is given early and disagrees later is a finding. Where a
warm-up is declared, earlier rows are let pass, and from then on a value must be there if the whole run has
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl

from polyscale.audit.cuts import turn_after
from polyscale.audit.frames import Ints
from polyscale.audit.outcome import Finding
from polyscale.audit.rows import Bools, Column, Rows, compare
from polyscale.audit.trial import RefusalError, Trial, instant
from polyscale.market.errors import ConfigError

WARM_UP: Final = "warm-up"
WarmUp = (
    int | Mapping[str, int] | None
)  # bars that a value needs, the newest included; per column; not declared


def check_warm_up_names(warm_up: WarmUp, rows: Rows) -> None:
    """Raise `ConfigError` for a column that the stage does not give, or a warm-up below one bar."""
    declared = {} if warm_up is None else {"": warm_up} if isinstance(warm_up, int) else warm_up
    unknown = sorted(name for name in declared if name and name not in rows.columns)
    if unknown:
        raise ConfigError(f"audit: warm_up must name columns of {sorted(rows.columns)}, got {unknown}")
    for name, bars in declared.items():
        if bars < 1:
            raise ConfigError(f"audit: warm_up must be >= 1 bar, got {bars}{f' for {name}' if name else ''}")


def starts_of_bars(trial: Trial) -> list[int]:
    """Indices of bars to begin at: every other one with the day, the others anywhere."""
    num, size = trial.plan.truncations, len(trial.bar_times)
    rng = np.random.default_rng(trial.plan.seed)
    starts = []
    for i in range(num):
        index = int(size * (0.2 + 0.6 * (i + rng.random()) / num))
        starts.append(turn_after(trial, index, size - 1) + 1 if i % 2 == 0 else index)
    return sorted({start for start in starts if 0 < start < size})


def truncate(trial: Trial, start: int, warm_up: WarmUp) -> None:
    """Compare what the stage gives on the bars from ``start`` on with what it gave on all."""
    try:
        found = trial.run(inputs=trial.inputs.since(start))
    except RefusalError as refusal:
        trial.record.refused(WARM_UP, refusal.cause)
        return
    common = np.intersect1d(trial.whole.times, found.times)
    expected, found = trial.whole.at(common), found.at(common)
    age = np.searchsorted(trial.bar_times, common, side="right") - start  # bars seen, the row's own included
    trial.record.compared(WARM_UP, int((age > 0).sum()))
    for name, before in expected.columns.items():
        if name in found.columns:
            _check_column(
                trial,
                start,
                Rows(common, {name: before}),
                Rows(common, {name: found.columns[name]}),
                age,
                warm_up,
            )


def _check_column(trial: Trial, start: int, expected: Rows, found: Rows, age: Ints, warm_up: WarmUp) -> None:
    (name,) = expected.columns
    needed = warm_up if isinstance(warm_up, int) else (warm_up or {}).get(name)
    there = found.present()[name]
    due = there | expected.present()[name]
    used = there & (age > 0) if needed is None else due & (age >= needed)
    for moved in compare(_take(expected, used), _take(found, used), trial.sizes, trial.plan):
        trial.record.find(
            Finding(
                WARM_UP, name, instant(moved.row), instant(trial.bar_times[start]), moved.before, moved.after
            )
        )


def _take(rows: Rows, used: Bools) -> Rows:
    def some(values: Column) -> Column:
        return values[used] if isinstance(values, np.ndarray) else values.filter(pl.Series(used))

    return Rows(rows.times[used], {name: some(values) for name, values in rows.columns.items()})
