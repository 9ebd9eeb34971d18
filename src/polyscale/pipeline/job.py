"""From a config, or from a run that was cut off, to all that training needs.

Whatever can be refused is refused here, before a folder is made and minutes are spent: bars, history, parts,
funding.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from polyscale.config.run_config import RunConfig
from polyscale.market.errors import RunError
from polyscale.pipeline.judge import check_tradable
from polyscale.pipeline.learn import Prepared, prepare
from polyscale.pipeline.load import SymbolBars, load_at_version, pin_version, same_bars
from polyscale.pipeline.run import Observer, Run, load_run, read_run_config, start, train
from polyscale.runs.folder import RunFolder, State
from polyscale.store.store import Store


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
        if self.folder.state is not State.TRAINING:
            return load_run(self.folder.path)
        begun = any((self.folder.path / "checkpoints").glob("last.ckpt*"))
        return train(self.folder, self.config, self.prepared, observer, resume=self.resumed and begun)


def begin(config: RunConfig, store: Store, runs: Path, observer: Observer) -> Job:
    """Load, prepare, check, and only then make the run's folder."""
    observer.stage("simulating the market" if config.market.simulation else "reading bars")
    symbols, version = load_at_version(config, store)
    prepared = _prepared(config, symbols, observer)
    folder = start(config, symbols, version, runs)
    pin_version(folder, store, version)
    return Job(folder, config, symbols, prepared, resumed=False)


def resume(folder: RunFolder, store: Store, observer: Observer) -> Job:
    """Take up a run that did not come to its report.

    Raises
    ------
    RunError
        If it did, or if its config or its bars are no longer the same.
    """
    if folder.state is State.COMPLETE:
        raise RunError(f"{folder.path}: is complete; there is nothing to resume")
    config = read_run_config(folder)
    observer.stage("reading bars")
    symbols = same_bars(folder, config, store)
    return Job(folder, config, symbols, _prepared(config, symbols, observer), resumed=True)


def _prepared(config: RunConfig, symbols: list[SymbolBars], observer: Observer) -> Prepared:
    observer.stage("features and base forecast")
    prepared = prepare(config, symbols)
    for item, panel, part in zip(symbols, prepared.panels, prepared.splits, strict=True):
        if part.test.any():
            check_tradable(config, item, panel, part.test)
    return prepared
