"""A plain forecast of the return: ridge regression on the features that the network reads.

In: rows. Out: the expected log return at the wanted origins. Where it does not beat no change at all, nobody
should believe a network that does; on a random walk it must not.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from polyscale.dataset.panel import Panel
from polyscale.evaluation.baselines.ridge import ridge_path
from polyscale.evaluation.baselines.rows import Bools, Floats, Rows, check_learnable, learnable, where_usable
from polyscale.evaluation.baselines.table import blocks, fit_design

PENALTIES: Final = (*(10.0**k for k in range(-2, 3)), np.inf)  # per row
_CLIP: Final = 4.0  # standard deviations of the label, so that one crash is one large return and no more


@threadpool_limits.wrap(limits=1, user_api="blas")
def expected_return(rows: Rows, seed: int = 1) -> list[Floats]:
    """Per panel [wanted, H] the expected log return to t + h, NaN where it cannot say.

    One model per horizon for the return in units of the last day's volatility, all symbols pooled, frozen;
    the penalty has the least squared error on validation origins.
    """
    check_learnable(rows)
    train = [learnable(panel, mask) for panel, mask, _, _ in rows]
    validate = [learnable(panel, mask) for panel, _, mask, _ in rows]
    design = fit_design(_pooled(rows, train))
    x, y = design.apply(_pooled(rows, train)), _labels(rows, train)
    x_validate, y_validate = design.apply(_pooled(rows, validate)), _labels(rows, validate)
    models = []
    for h in range(y.shape[1]):
        path = ridge_path(x, y[:, h], PENALTIES)
        errors = [np.square(y_validate[:, h] - model(x_validate)).mean() for model in path]
        models.append(path[int(np.argmin(errors))])

    def forecast(panel: Panel, wanted: Bools) -> Floats:
        table = design.apply(blocks(panel, wanted))
        unit = panel.targets.sigma[wanted, None] * np.sqrt(panel.targets.bars_ahead)
        return where_usable(panel, wanted, unit * np.column_stack([model(table) for model in models]))

    return [forecast(panel, wanted) for panel, wanted in zip(rows.panels, rows.wanted, strict=True)]


def _pooled(rows: Rows, masks: list[Bools]) -> list[Floats]:
    tables = [blocks(panel, mask) for panel, mask in zip(rows.panels, masks, strict=True)]
    return [np.concatenate(column) for column in zip(*tables, strict=True)]


def _labels(rows: Rows, masks: list[Bools]) -> Floats:
    """Standardised returns [n, H]."""
    found = [p.targets.scaled_return[mask] for p, mask in zip(rows.panels, masks, strict=True)]
    return np.clip(np.concatenate(found), -_CLIP, _CLIP)
