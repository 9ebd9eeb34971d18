"""The main job as a story: load, prepare, learn, judge, tell.

``start`` makes a run folder, ``train`` fills it with a model, ``evaluate`` with forecasts, figures and the
report; ``load_run`` opens one again. The command and the Python API are thin over these.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.config.run_config import RunConfig, parse_config
from polyscale.dataset.panel import Panel, build_panel
from polyscale.market.errors import RunError
from polyscale.market.forecast import Forecast
from polyscale.market.timeframe import Timeframe
from polyscale.pipeline.judge import bars_of_test, forecast_panel, judge, trade
from polyscale.pipeline.learn import Prepared, learn, prepare
from polyscale.pipeline.load import SymbolBars, describe_version, fingerprint
from polyscale.pipeline.provenance import provenance
from polyscale.pipeline.publish import write_report
from polyscale.pipeline.tell import metrics_of, money_of
from polyscale.report.page import SymbolReport
from polyscale.runs.folder import RunFolder, State
from polyscale.store.store import DataVersion
from polyscale.training.model_file import Model, load_model, save_model
from polyscale.training.progress import EpochReport


class Observer(Protocol):
    """Who wants to see how far a run is."""

    def stage(self, text: str) -> None:
        """A stage begins."""

    def epoch(self, report: EpochReport) -> None:
        """An epoch of training has ended."""


class Silent:
    """Sees nothing."""

    def stage(self, text: str) -> None:
        """Pass."""

    def epoch(self, report: EpochReport) -> None:
        """Pass."""


@dataclass(frozen=True, eq=False)
class Run:
    """A trained model with its config and its folder."""

    folder: RunFolder
    config: RunConfig
    model: Model

    def predict(self, bars: pl.DataFrame, native: Mapping[Timeframe, pl.DataFrame] | None = None) -> Forecast:
        """Forecast at every origin of base bars where the inputs are known.

        Parameters
        ----------
        bars
            Checked base bars, oldest first; the base forecast is fitted on them as they come, so give as much
            history as there is (at least ``data.base_forecast.min_days`` and a week).
        native
            Stored bars of coarser timeframes, for scales with ``native_history``.
        """
        panel = build_panel(self.config.market.symbols[0], bars, self.config.data, native)
        return forecast_panel(self.model, panel, panel.usable)


def start(config: RunConfig, symbols: list[SymbolBars], version: DataVersion | None, runs: Path) -> RunFolder:
    """Make the folder of a new run, with all that it depends on."""
    about = {
        **provenance(config.training.threads, config.seed),
        "data": {**describe_version(config, version), "sha256": fingerprint(symbols)},
    }
    return RunFolder.create(runs, config.name, config.to_yaml(), about)


def train(
    folder: RunFolder,
    config: RunConfig,
    symbols: list[SymbolBars],
    observer: Observer,
    *,
    resume: bool = False,
) -> tuple[Run, Prepared]:
    """Learn, and keep the model; a folder whose training was cut off goes on with ``resume``."""
    observer.stage("features and base forecast")
    prepared = prepare(config, symbols)
    counts = {
        part: sum(int(getattr(s, part).sum()) for s in prepared.splits)
        for part in ("train", "validate", "test")
    }
    observer.stage(f"training on {counts['train']:,} origins, validating on {counts['validate']:,}")
    checkpoints = folder.path / "checkpoints"
    model, history = learn(config, prepared, checkpoints, resume=resume, progress=observer.epoch)
    save_model(model, folder.path)
    folder.write_json("history.json", [asdict(report) for report in history])
    folder.write_json("split.json", {**asdict(prepared.ends), "origins": counts})
    folder.set_state(State.TRAINED)
    shutil.rmtree(checkpoints)
    return Run(folder, config, model), prepared


def evaluate(
    run: Run, symbols: list[SymbolBars], prepared: Prepared, observer: Observer
) -> list[SymbolReport]:
    """Judge the test of every symbol, keep forecasts and figures, write the report."""
    observer.stage("forecasts, backtest and evaluation of the test")
    outcomes = [
        judge(run.config, run.model, panel, part.test, item)
        for panel, part, item in zip(prepared.panels, prepared.splits, symbols, strict=True)
        if part.test.any()
    ]
    for outcome in outcomes:
        keep_forecast(run.folder, outcome.symbol, outcome.forecast)
        keep_ledger(run.folder, outcome.symbol, outcome.strategy.ledger)
    run.folder.write_json("metrics.json", metrics_of(outcomes))
    observer.stage("report")
    write_report(run.folder, run.config, outcomes)
    run.folder.set_state(State.COMPLETE)
    return outcomes


def load_run(path: Path) -> Run:
    """Open the folder of a trained run.

    Raises
    ------
    RunError
        If it is no run folder, damaged, of a newer version, or made with other features; or not trained yet.
    """
    folder = RunFolder.open(path)
    config = read_run_config(folder)
    if folder.state is State.TRAINING:
        raise RunError(
            f"{path}: its training has not ended; finish it with `polyscale train --resume {path.name}`"
        )
    return Run(folder, config, load_model(folder.path))


def read_run_config(folder: RunFolder) -> RunConfig:
    """The config that a run was started with."""
    return parse_config(folder.read_text("config.yaml"), str(folder.path / "config.yaml"))


def after_validation(
    run: Run, symbols: list[SymbolBars], *, to_test_end: bool = False
) -> list[tuple[SymbolBars, Panel, NDArray[np.bool_]]]:
    """Each symbol's panel, and its usable origins after validation, to the test's end or the last bar."""
    kept = run.folder.read_json("split.json")
    try:
        first, last = int(kept["validate_end"]), int(kept["test_end"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{run.folder.path}/split.json: must hold the ends of the parts ({error}); damaged"
        ) from error
    panels = [build_panel(item.symbol, item.bars, run.config.data, item.native) for item in symbols]
    return [
        (
            item,
            panel,
            panel.usable
            & (panel.time_ms > first)
            & (panel.time_ms <= (last if to_test_end else panel.time_ms[-1])),
        )
        for item, panel in zip(symbols, panels, strict=True)
    ]


def data_version(folder: RunFolder) -> DataVersion | None:
    """The versions of the store's tables that a run read, None if it read none."""
    data: dict[str, Any] = folder.about.get("data", {})
    return DataVersion(data["bars"], data["funding"]) if "bars" in data else None


def trade_again(run: Run, symbols: list[SymbolBars]) -> dict[str, dict[str, Any]]:
    """Forecast and trade the test of a trained run again; measures of strategy and buy-and-hold by symbol."""
    measures = {}
    for item, panel, origins in after_validation(run, symbols, to_test_end=True):
        forecast = forecast_panel(run.model, panel, origins)
        strategy, hold = trade(run.config, forecast, bars_of_test(item.bars, forecast), item.funding)
        keep_forecast(run.folder, item.symbol, forecast)
        keep_ledger(run.folder, item.symbol, strategy.ledger)
        measures[item.symbol] = {"strategy": money_of(strategy), "buy_and_hold": money_of(hold)}
    return measures


def keep_forecast(folder: RunFolder, symbol: str, forecast: Forecast, where: str = "forecasts") -> Path:
    """Write a symbol's forecasts into the run: those of the test, or under another name."""
    path = folder.path / where / f"{symbol}.parquet"
    path.parent.mkdir(exist_ok=True)
    forecast.write_parquet(path)
    return path


def keep_ledger(folder: RunFolder, symbol: str, ledger: pl.DataFrame) -> Path:
    """Write a symbol's ledger into the run."""
    path = folder.path / "ledger" / f"{symbol}.parquet"
    path.parent.mkdir(exist_ok=True)
    ledger.write_parquet(path)
    return path


def newest(forecast: Forecast) -> Forecast:
    """The last origin alone."""
    return forecast.at(np.array([len(forecast) - 1]))
