"""Origins as rows of one table, for models that know no sequences.

In: a panel and origins. Out: the origin's inputs, the base forecast among them, and the newest known row of
every scale, side by side; NaN where a scale has none that is warm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from polyscale.dataset.panel import Panel
from polyscale.dataset.scaling import Scaler, fit_scaler
from polyscale.evaluation.baselines.rows import Bools, Floats, Rows, learnable

_ROWS_AT_MOST: Final = (
    120_000  # neighbouring origins share nearly all of their labels: more rows teach little
)
_EVERY_MINUTES: Final = 15


class Lessons(NamedTuple):
    """Origins of all symbols with what came beyond the base forecast."""

    blocks: list[Floats]  # 1 + S tables [n, .]
    beyond_base: Floats  # [n, H] realised log variance less the base forecast


def lessons(rows: Rows, masks: Sequence[Bools]) -> Lessons:
    """The origins of masks, pooled over symbols, thinned at random: every hour of the day stays."""
    taken = [learnable(p, m, _EVERY_MINUTES) for p, m in zip(rows.panels, masks, strict=True)]
    share = _ROWS_AT_MOST / max(1, sum(int(mask.sum()) for mask in taken))
    origins = [  # a draw does not depend on how many rows come after it
        np.flatnonzero(mask & (np.random.default_rng(i).random(len(mask)) < share))
        for i, mask in enumerate(taken)
    ]
    parts = [blocks(panel, at) for panel, at in zip(rows.panels, origins, strict=True)]
    return Lessons(
        [np.concatenate(column) for column in zip(*parts, strict=True)],
        np.concatenate(
            [
                panel.targets.log_variance[at] - panel.base[at]
                for panel, at in zip(rows.panels, origins, strict=True)
            ]
        ),
    )


def blocks(panel: Panel, origins: np.ndarray) -> list[Floats]:
    """The origin's inputs [n, O], then the newest known row of every scale [n, F_s].

    Parameters
    ----------
    origins
        A mask [T] or indices [n].
    """
    found = [panel.origin[origins]]
    for features, warm, index in zip(panel.features, panel.warm, panel.index[origins].T, strict=True):
        if len(features) == 0:
            found.append(np.full((len(index), features.shape[1]), np.nan))
            continue
        known = (index >= 0) & warm[index]
        found.append(np.where(known[:, None], features[index], np.nan))
    return found


class Design(NamedTuple):
    """Frozen scalers of the blocks; None for one that was never there in training."""

    scalers: tuple[Scaler | None, ...]

    def apply(self, tables: list[Floats]) -> Floats:
        """Scaled columns, a missing row as the median, and a column per scale that says it is missing."""
        columns = []
        for k, (scaler, table) in enumerate(zip(self.scalers, tables, strict=True)):
            if scaler is None:
                continue
            columns.append(scaler.apply(table).astype(np.float64))
            if k > 0:
                columns.append(np.isnan(table[:, :1]).astype(np.float64))  # a row is there or is not
        return np.column_stack(columns)


def fit_design(tables: list[Floats]) -> Design:
    """Fit the scalers on training rows."""
    return Design(tuple(fit_scaler([table]) for table in tables))
