"""The frozen calibration of one fold: slopes of the seeds' mean, fitted on its symbols' validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polyscale.dataset.folds import Fold
from polyscale.dataset.panel import Panel
from polyscale.forecast.ensemble import average
from polyscale.forecast.slopes import Slopes, fit_slopes
from polyscale.pipeline.walk.keep import kept_facts, kept_forecast
from polyscale.pipeline.walk.plan import Task
from polyscale.runs.folder import RunFolder


def calibrate(folder: RunFolder, fold: Fold, networks: Sequence[Task], panels: Sequence[Panel]) -> Slopes:
    """Fit on origins whose longest label ends within validation.

    Parameters
    ----------
    networks
        The seeds of one fold and cohort.
    panels
        Of the symbols that the cohort tests; none with a forecast in validation shows nothing: slopes of 0.
    """
    said, came = [], []
    for panel in panels:
        found = [kept_forecast(folder, task, panel.symbol) for task in networks]
        seeds = [forecast for forecast in found if forecast is not None]
        if not seeds:
            continue
        times = seeds[0].close_time.astype("datetime64[ms]").astype(np.int64)
        last = fold.ends.validate_end - panel.targets.horizons[-1].ms
        inside = (times > fold.ends.train_end) & (times <= last)
        if inside.any():
            said.append(average([forecast.at(inside) for forecast in seeds]))
            came.append(panel.targets.log_return[np.searchsorted(panel.time_ms, times[inside])])
    base_quantiles = np.array(kept_facts(folder, networks[0])["base_quantiles"])
    if not said:
        return Slopes(np.zeros(len(base_quantiles)), np.zeros(len(base_quantiles)))
    return fit_slopes(said, came, base_quantiles)
