"""Baselines that learn nothing frozen: last value, reference log-HAR, and the network's own base.

In: rows. Out: their forecasts at the wanted origins, each known at its own close. The rolling regressions are
fitted every midnight on labels that have ended by then, in training and in the test alike.
"""

from __future__ import annotations

from polyscale.base import forecasts
from polyscale.evaluation.baselines.rows import Floats, Rows


def last_value(rows: Rows, seed: int = 1) -> list[Floats]:
    """The variance of the last h as the forecast of the next h, as it is."""
    return [
        forecasts.last_value(panel.bars, panel.targets)[wanted]
        for panel, wanted in zip(rows.panels, rows.wanted, strict=True)
    ]


def log_har(rows: Rows, seed: int = 1) -> list[Floats]:
    """The reference log-HAR: four spans, least squares, the window and the refits of the base."""
    data = rows.data
    return [
        forecasts.log_har(panel.bars, data.base, panel.targets, data.base_forecast)[wanted]
        for panel, wanted in zip(rows.panels, rows.wanted, strict=True)
    ]


def base(rows: Rows, seed: int = 1) -> list[Floats]:
    """The base forecast alone: the network with zero heads."""
    return [panel.base[wanted] for panel, wanted in zip(rows.panels, rows.wanted, strict=True)]
