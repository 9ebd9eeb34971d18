"""Two small simulated symbols as rows for baselines; labels can be replaced by planted ones."""

from dataclasses import replace
from functools import cache

import numpy as np

from polyscale.dataset.panel import build_panel
from polyscale.dataset.settings import DataSettings, SplitSettings
from polyscale.dataset.split import boundaries, split
from polyscale.evaluation.baselines.rows import Rows
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe

DATA = DataSettings(
    scales=[{"timeframe": "15m", "lookback": 16}, {"timeframe": "1h", "lookback": 8}],
    horizons=["1h", "4h"],
    features=("scaled_return_1", "relative_move", "close_position"),
    base_forecast={"window_days": 15, "min_days": 5},
)


@cache
def bars_of(seed, days=45):
    return simulate_bars(SimulationSettings(days=days, timeframe=Timeframe(15), seed=seed))


def rows_of(frames):
    panels = [build_panel(f"S{i}", frame, DATA) for i, frame in enumerate(frames)]
    ends = boundaries(panels, SplitSettings(train_share=0.6, validate_share=0.15))
    parts = [split(panel, ends) for panel in panels]
    return Rows(panels, [p.train for p in parts], [p.validate for p in parts], [p.test for p in parts], DATA)


@cache
def small_rows():
    return rows_of([bars_of(3), bars_of(4)])


def planted(rows, surprise):
    """Rows whose realised log variance is the base forecast plus ``surprise(panel)`` [T, H]."""
    panels = []
    for panel in rows.panels:
        log_variance = np.where(np.isfinite(panel.targets.log_variance), panel.base + surprise(panel), np.nan)
        panels.append(replace(panel, targets=replace(panel.targets, log_variance=log_variance)))
    return replace(rows, panels=panels)


def newest(panel, scale, feature):
    """The newest known value of a feature at every origin [T]."""
    return panel.features[scale][np.maximum(panel.index[:, scale], 0), feature]


def came(rows):
    """Labels at the wanted origins, per panel."""
    return [p.targets.log_variance[w] for p, w in zip(rows.panels, rows.wanted, strict=True)]
