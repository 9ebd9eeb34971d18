"""The rows of the base scale alone, scaled, for networks that read sequences.

In: rows. Out: panels of one scale, with scalers fitted on what training origins know.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from polyscale.dataset.panel import Panel
from polyscale.dataset.scaling import Scaler, fit_scaler
from polyscale.dataset.settings import DataSettings
from polyscale.dataset.stretches import ScaledPanel, scale_panel
from polyscale.evaluation.baselines.rows import Bools, Rows, learnable
from polyscale.market.errors import HistoryError


class Sequences(NamedTuple):
    """Scaled panels of one scale, and the origins that count in each part."""

    panels: list[ScaledPanel]
    train: list[Bools]
    validate: list[Bools]
    data: DataSettings  # with the base scale alone


def base_scale(rows: Rows, lookback: int) -> Sequences:
    """Cut all panels down to the base scale and scale them.

    Parameters
    ----------
    lookback
        Rows that an origin sees, as `polyscale.dataset.stretches.cut` counts them.
    """
    panels = [_one_scale(panel) for panel in rows.panels]
    train = [learnable(panel, mask) for panel, mask, _, _ in rows]
    features, origin = _scalers(panels, train)
    first = rows.data.scales[0].model_copy(update={"lookback": lookback})
    return Sequences(
        panels=[scale_panel(panel, (features,), origin) for panel in panels],
        train=train,
        validate=[learnable(panel, mask) for panel, _, mask, _ in rows],
        data=rows.data.model_copy(update={"scales": (first,)}),
    )


def log_day_variance(panel: Panel) -> np.ndarray:
    """Log variance of the last day [T], per base bar."""
    return np.asarray(2 * np.log(panel.targets.sigma))


def _one_scale(panel: Panel) -> Panel:
    return replace(panel, features=panel.features[:1], warm=panel.warm[:1], index=panel.index[:, :1])


def _scalers(panels: list[Panel], train: list[Bools]) -> tuple[Scaler, Scaler]:
    """Of the features, and of the origin's inputs, over training origins of all symbols."""
    features = fit_scaler(
        [panel.features[0][panel.index[mask, 0]] for panel, mask in zip(panels, train, strict=True)]
    )
    origin = fit_scaler([panel.origin[mask] for panel, mask in zip(panels, train, strict=True)])
    if features is None or origin is None:
        raise HistoryError("a network needs at least 1 training origin, found 0; import more history")
    return features, origin
