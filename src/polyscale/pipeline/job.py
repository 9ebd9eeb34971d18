"""From a config, or from a run that was cut off, to all that training needs.

Whatever can be refused is refused here, before a folder is made and minutes are spent: bars, history, parts,
funding. Under torchrun every process has a job of its own, over the same folder; only the first one writes.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from polyscale.config.run_config import RunConfig
from polyscale.market.errors import RunError
from polyscale.pipeline.calibrate import calibrate
from polyscale.pipeline.judge import check_tradable
from polyscale.pipeline.learn import Prepared, learn, prepare
from polyscale.pipeline.load import SymbolBars, load_at_version, pin_version, same_bars
from polyscale.pipeline.run import Observer, Run, load_run, read_run_config, start, train
from polyscale.runs.folder import RunFolder, State
from polyscale.store.store import DataVersion, Store
from polyscale.strategy.allocation import check_installed
from polyscale.training import ranks
from polyscale.training.progress import LAST


@dataclass(frozen=True, eq=False)
class Job:
    """A run folder and what is read and computed for it."""

    folder: RunFolder
    config: RunConfig
    symbols: list[SymbolBars]
    prepared: Prepared
    resumed: bool

    def train(self, observer: Observer) -> Run:
        """Train, go on with a training that was cut off, or open the model that there is.

        A training that was cut off in its first epoch has no checkpoint and begins again.
        """
        checkpoints = self.folder.path / "checkpoints"
        if ranks.from_first(lambda: self.folder.state) is not State.TRAINING:
            if ranks.is_first():  # a kill may have left some
                shutil.rmtree(checkpoints, ignore_errors=True)
            return load_run(self.folder.path)
        begun = ranks.from_first(lambda: self.resumed and (checkpoints / LAST).is_file())
        if ranks.is_first():
            return train(self.folder, self.config, self.prepared, observer, resume=begun)
        model, _ = learn(self.config, self.prepared, checkpoints, resume=begun)
        calibrate(model, self.prepared)
        return Run(self.folder, self.config, model)


def begin(config: RunConfig, store: Store, runs: Path, observer: Observer) -> Job:
    """Load, prepare, check, and only then make the run's folder."""
    observer.stage("simulating the market" if config.market.simulation else "reading bars")
    symbols, version = load_at_version(config, store)
    if config.portfolio is not None:
        check_installed(config.portfolio.allocation)
    prepared = _prepared(config, symbols, observer)
    path = ranks.from_first(lambda: _new_folder(config, symbols, version, store, runs))
    return Job(RunFolder(path), config, symbols, prepared, resumed=False)


def resume(folder: RunFolder, store: Store, observer: Observer) -> Job:
    """Take up a run that did not come to its report.

    Raises
    ------
    RunError
        If it did, or if its config or its bars are no longer the same.
    """
    if ranks.from_first(lambda: folder.state) is State.COMPLETE:
        raise RunError(f"{folder.path}: is complete; there is nothing to resume")
    config = read_run_config(folder)
    observer.stage("reading bars")
    symbols = same_bars(folder, config, store)
    return Job(folder, config, symbols, _prepared(config, symbols, observer), resumed=True)


def _new_folder(
    config: RunConfig, symbols: list[SymbolBars], version: DataVersion | None, store: Store, runs: Path
) -> Path:
    folder = start(config, symbols, version, runs)
    pin_version(folder, store, version)
    return folder.path


def _prepared(config: RunConfig, symbols: list[SymbolBars], observer: Observer) -> Prepared:
    observer.stage("features and base forecast")
    prepared = prepare(config, symbols)
    for item, panel, part in zip(symbols, prepared.panels, prepared.splits, strict=True):
        if part.test.any():
            check_tradable(config, item, panel, part.test)
    return prepared
