"""Ridge regression of log variance on the features that the network reads.

In: rows. Out: forecasts at the wanted origins. One model per horizon, all symbols pooled, frozen: it learns
how far the variance will lie from the base forecast, out of the origin's inputs (the base forecast among
them) and the newest row of every scale. With an infinite penalty it is the base forecast. The penalty has the
least QLIKE on validation origins.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from polyscale.evaluation.baselines.correction import log_bias
from polyscale.evaluation.baselines.rows import Floats, Rows, check_learnable, where_usable
from polyscale.evaluation.baselines.table import blocks, fit_design, lessons
from polyscale.evaluation.losses import qlike

PENALTIES: Final = (*(10.0**k for k in range(-5, 2)), np.inf)  # per row
_SURPRISE: Final = 4.0  # log units; what lies further from the base is a crash or a halt, and is cut there


class Linear(NamedTuple):
    """Coefficients of standardised columns, the bias correction in the intercept."""

    intercept: float
    slopes: Floats

    def __call__(self, x: Floats) -> Floats:
        """Values [n]."""
        return self.intercept + x @ self.slopes


@threadpool_limits.wrap(limits=1, user_api="blas")
def ridge(rows: Rows, seed: int = 1) -> list[Floats]:
    """Base forecast plus what ridge regression adds to it."""
    check_learnable(rows)
    train, validate = lessons(rows, rows.train), lessons(rows, rows.validate)
    design = fit_design(train.blocks)
    x, x_validate = design.apply(train.blocks), design.apply(validate.blocks)
    models = []
    for h in range(len(rows.data.horizons)):
        y = np.clip(train.beyond_base[:, h], -_SURPRISE, _SURPRISE)
        path = [corrected(x, y, model) for model in ridge_path(x, y, PENALTIES)]
        losses = [qlike(validate.beyond_base[:, h], model(x_validate)).mean() for model in path]
        models.append(path[int(np.argmin(losses))])
    return [
        where_usable(
            panel,
            wanted,
            panel.base[wanted]
            + np.column_stack([model(design.apply(blocks(panel, wanted))) for model in models]),
        )
        for panel, wanted in zip(rows.panels, rows.wanted, strict=True)
    ]


def ridge_path(x: Floats, y: Floats, penalties: tuple[float, ...]) -> list[Linear]:
    """Minimise ``mean((y - a - x b)^2) + penalty |b|^2`` for every penalty, from one decomposition."""
    centre, mean = x.mean(axis=0), float(y.mean())
    moved = x - centre
    size, axes = np.linalg.eigh(moved.T @ moved / len(x))
    projected = axes.T @ (moved.T @ (y - mean) / len(x))
    size = np.maximum(size, 1e-12 * size[-1])  # columns that are sums of others
    slopes = [axes @ (projected / (size + penalty)) for penalty in penalties]
    return [Linear(mean - float(centre @ b), b) for b in slopes]


def corrected(x: Floats, y: Floats, model: Linear) -> Linear:
    """The model with its bias correction for QLIKE."""
    return model._replace(intercept=model.intercept + log_bias(y - model(x)))
