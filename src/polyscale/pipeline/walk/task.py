"""One task of a walk-forward, as a function of config, bars and the task: it runs anywhere.

In: as said. Out: `Done`: forecasts at the origins of validation and test, of the network or of a baseline.
Panels are computed where the task runs, and kept there for the next one on the same bars.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from polyscale.config.run_config import RunConfig
from polyscale.dataset.folds import Fold
from polyscale.dataset.panel import Panel
from polyscale.dataset.split import Split, check_parts
from polyscale.evaluation.baselines.registry import BASELINES
from polyscale.evaluation.baselines.rows import Rows
from polyscale.evaluation.settings import EvaluationSettings
from polyscale.market.forecast import Forecast
from polyscale.pipeline.judge import forecast_panel
from polyscale.pipeline.learn import Prepared, learn, panel_of, splits_of
from polyscale.pipeline.load import SymbolBars, fingerprint
from polyscale.pipeline.walk.plan import BASELINE, FULL, Cohort, Task
from polyscale.training.model_file import Model
from polyscale.training.progress import EpochReport

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LogVariances:
    """What a baseline says of one symbol: log mean variance per base bar [N, H]."""

    time_ms: NDArray[np.int64]
    values: Floats


@dataclass(frozen=True, eq=False)
class Done:
    """What a task came to, by symbol; a baseline has no model and no quantiles of its own."""

    seconds: float
    forecasts: dict[str, Forecast] = field(default_factory=dict)
    said: dict[str, LogVariances] = field(default_factory=dict)
    model: Model | None = None
    tail: Floats | None = None  # [H] expected shortfall over value at risk of training returns
    history: tuple[EpochReport, ...] = ()


@dataclass(frozen=True, eq=False)
class Work:
    """All that tasks need: sent to where they run."""

    configs: Mapping[str, RunConfig]  # the network as configured under FULL, and its variants
    symbols: list[SymbolBars]

    def __call__(self, task: Task) -> Done:
        """Run a task."""
        with threadpool_limits(1):
            if task.kind == BASELINE:
                return _run_baseline(self.configs[FULL], self.symbols, task)
            return _run_network(self.configs[task.name], self.symbols, task)


def _run_network(config: RunConfig, symbols: list[SymbolBars], task: Task) -> Done:
    """Fit the network, and forecast with it at every origin of validation and test."""
    prepared = prepared_for(config, symbols, task.fold, task.cohort)
    seeded, began = config.model_copy(update={"seed": task.seed}), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="polyscale-fold-") as scratch:
        model, history = learn(seeded, prepared, Path(scratch))
    seconds, before = time.monotonic() - began, torch.get_num_threads()
    torch.set_num_threads(config.training.threads)
    try:
        forecasts = {
            panel.symbol: forecast_panel(model, panel, origins, prepared.beside(panel))
            for panel, origins in _asked(prepared, task.cohort)
        }
    finally:
        torch.set_num_threads(before)
    return Done(
        seconds,
        forecasts=forecasts,
        model=model,
        tail=_tail(prepared, config.levels[0]),
        history=tuple(history),
    )


def _run_baseline(config: RunConfig, symbols: list[SymbolBars], task: Task) -> Done:
    """Fit a baseline on the same rows, and ask it at the judged origins of validation and test."""
    prepared, began = prepared_for(config, symbols, task.fold, task.cohort), time.monotonic()
    asked = {panel.symbol: origins for panel, origins in _asked(prepared, task.cohort)}
    wanted = [
        asked.get(panel.symbol, np.zeros(len(panel.time_ms), dtype=bool)) & on_grid(panel, config.evaluation)
        for panel in prepared.panels
    ]
    rows = Rows(
        prepared.panels,
        [part.train for part in prepared.splits],
        [part.validate for part in prepared.splits],
        wanted,
        config.data,
    )
    said = BASELINES[task.name](rows, task.seed)
    kept = zip(prepared.panels, wanted, said, strict=True)
    return Done(
        time.monotonic() - began,
        said={p.symbol: LogVariances(p.time_ms[w], values) for p, w, values in kept if w.any()},
    )


def _tail(prepared: Prepared, level: float) -> Floats:
    """Mean of the training returns beyond their lowest quantile, over it [H]; both in units of the base."""
    standard = np.concatenate(
        [
            panel.targets.log_return[part.train]
            / (np.exp(0.5 * panel.base[part.train]) * np.sqrt(panel.targets.bars_ahead))
            for panel, part in zip(prepared.panels, prepared.splits, strict=True)
        ]
    )
    lowest = np.quantile(standard, level, axis=0)
    return np.array(
        [column[column <= low].mean() / low for column, low in zip(standard.T, lowest, strict=True)]
    )


def _asked(prepared: Prepared, cohort: Cohort) -> list[tuple[Panel, Bools]]:
    """Tested panels, and the origins of validation and test: from the end of training to that of the test."""
    ends, found = prepared.ends, []
    for i, panel in zip(cohort.members, prepared.panels, strict=True):
        inside = (panel.time_ms > ends.train_end) & (panel.time_ms <= ends.test_end)
        origins = panel.usable & inside
        if i in cohort.tested and origins.any():
            found.append((panel, origins))
    return found


def prepared_for(config: RunConfig, symbols: list[SymbolBars], fold: Fold, cohort: Cohort) -> Prepared:
    """The panels of a cohort with the parts of a fold; who is not learned from has a test alone."""
    panels = panels_of(config, symbols, cohort.members)
    splits = splits_of([symbols[i] for i in cohort.members], panels, fold.split)
    parts = [
        part
        if i in cohort.learned
        else Split(np.zeros_like(part.train), np.zeros_like(part.train), part.test)
        for i, part in zip(cohort.members, splits, strict=True)
    ]
    check_parts(panels, parts, fold.ends)
    return Prepared(panels, parts, fold.ends)


_KEPT: dict[str, dict[int, Panel]] = {}


def panels_of(config: RunConfig, symbols: list[SymbolBars], chosen: Sequence[int]) -> list[Panel]:
    """The panels of the chosen symbols, by position; those of the last bars are kept in this process."""
    key = f"{config.data.model_dump_json()} {fingerprint(symbols)}"
    if key not in _KEPT:
        _KEPT.clear()
        _KEPT[key] = {}
    kept = _KEPT[key]
    for i in chosen:
        if i not in kept:
            kept[i] = panel_of(symbols[i], symbols, config)
    return [kept[i] for i in chosen]


def on_grid(panel: Panel, settings: EvaluationSettings) -> Bools:
    """Origins that are judged: those on the evaluation's grid."""
    every = settings.every
    return np.asarray(panel.time_ms % every.ms == every.offset_ms % every.ms)
