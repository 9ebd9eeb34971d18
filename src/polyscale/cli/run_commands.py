"""``polyscale run``, ``train``, ``predict``, ``backtest``, ``runs``, ``reproduce``."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyscale.cli.options import (
    RUNS,
    STORE,
    BatchSizeOption,
    EpochsOption,
    JsonOption,
    ModelOption,
    RunArgument,
    RunsOption,
    SeedOption,
    StoreOption,
)
from polyscale.market.errors import ConfigError, PolyscaleError

if TYPE_CHECKING:
    from polyscale.config.run_config import RunConfig
    from polyscale.pipeline.job import Job
    from polyscale.pipeline.run import Observer
    from polyscale.runs.folder import State
    from polyscale.store.store import Store

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="YAML file; see configs/.")]
ResumeOption = Annotated[
    str | None, typer.Option(help="Go on with a run that was cut off: its id, or 'last'.")
]


_CUTS = 12  # of the short audit that every run has


@dataclass(frozen=True)
class _Changes:
    """What a person says instead of the config."""

    seed: int | None
    epochs: int | None
    batch_size: int | None

    def made_to(self, config: RunConfig) -> RunConfig:
        """The config with them; a config that is not changed is the same one."""
        training = config.training
        if self.batch_size is not None:
            training = training.with_batch_size(self.batch_size)
        if self.epochs is not None:
            training = training.model_copy(update={"epochs": self.epochs})
        seed = config.seed if self.seed is None else self.seed
        return config.model_copy(update={"training": training, "seed": seed})

    def refuse_with_resume(self) -> None:
        """A run that goes on keeps its config."""
        given = [f"--{name.replace('_', '-')}" for name, value in vars(self).items() if value is not None]
        if given:
            raise ConfigError(
                f"{', '.join(given)} must go with --config: a run that is resumed keeps its own settings"
            )


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("run", epilog="Example: polyscale run --config configs/btc_5m.yaml")(run_all)
    app.command(
        "train", epilog="Examples: polyscale train -c configs/btc_5m.yaml; polyscale train --resume last"
    )(train)
    app.command("predict", epilog="Example: polyscale predict last")(predict)
    app.command(
        "backtest", epilog="Examples: polyscale backtest last; polyscale backtest --model checkpoints/last"
    )(backtest)
    app.command("runs", epilog="Example: polyscale runs")(show_runs)
    app.command("reproduce", epilog="Example: polyscale reproduce last")(reproduce_run)


def run_all(
    config: ConfigOption = None,
    resume: ResumeOption = None,
    seed: SeedOption = None,
    epochs: EpochsOption = None,
    batch_size: BatchSizeOption = None,
    store: StoreOption = STORE,
    runs: RunsOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Train, forecast, backtest, evaluate and write the report: the main job."""
    from polyscale.training import ranks

    began = time.monotonic()
    with _watching() as watch:
        job = _job(config, resume, _Changes(seed, epochs, batch_size), store, runs, watch)
        if not ranks.is_first():  # it has learned its share; the first one goes on alone
            job.train(watch)
            return
        told, symbols = _run(job, watch)
    tell(told, symbols, time.monotonic() - began, as_json=as_json)


def run_config(config: RunConfig, store: Store, runs: Path) -> tuple[dict[str, Any], list[str]]:
    """Do the main job of a config; the summary, and the symbols that were judged."""
    from polyscale.cli import console
    from polyscale.pipeline.job import begin

    with console.Watch() as watch:
        return _run(begin(config, store, runs, watch), watch)


def train(
    config: ConfigOption = None,
    resume: ResumeOption = None,
    seed: SeedOption = None,
    epochs: EpochsOption = None,
    batch_size: BatchSizeOption = None,
    store: StoreOption = STORE,
    runs: RunsOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Train a model and keep it in a run folder; under torchrun, all its processes train one model."""
    from polyscale.cli import console
    from polyscale.training import ranks

    with _watching() as watch:
        job = _job(config, resume, _Changes(seed, epochs, batch_size), store, runs, watch)
        run = job.train(watch)
    if not ranks.is_first():
        return
    if as_json:
        console.print_json({"run": str(run.folder.path)})
    else:
        console.out.print(f"trained: {run.folder.path}", highlight=False)


def predict(
    run: RunArgument = "last",
    model: ModelOption = None,
    store: StoreOption = STORE,
    runs: RunsOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Forecast with the newest stored bars, from the end of validation on, and show the newest forecast."""
    from polyscale.cli import console, show
    from polyscale.pipeline.load import context_of, load_symbols
    from polyscale.pipeline.run import keep_forecast, load_run, newest
    from polyscale.pipeline.tell import forecast_rows
    from polyscale.runs.folder import find_run
    from polyscale.store.store import Store

    trained = load_run(find_run(runs, model or run, _usable_states()).path)
    shown: list[dict[str, Any]] = []
    symbols = load_symbols(trained.config, Store(store))
    for item in symbols:
        if item.lesson:
            continue
        forecast = trained.predict(item.bars, item.native, context_of(item, symbols))
        path = keep_forecast(trained.folder, item.symbol, forecast, "predictions")
        rows = forecast_rows(newest(forecast))
        shown.append({"symbol": item.symbol, "forecasts": str(path), "newest": rows})
    if as_json:
        console.print_json(shown)
        return
    for each in shown:
        show.show_forecast(each)


def backtest(
    run: RunArgument = "last",
    model: ModelOption = None,
    store: StoreOption = STORE,
    runs: RunsOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Trade a run's forecasts of the test again, with its strategy and costs, and show the measures."""
    from polyscale.cli import console, show
    from polyscale.pipeline.load import same_bars
    from polyscale.pipeline.run import load_run, trade_again
    from polyscale.runs.folder import find_run
    from polyscale.store.store import Store

    trained = load_run(find_run(runs, model or run, _usable_states()).path)
    results = trade_again(trained, same_bars(trained.folder, trained.config, Store(store)))
    if as_json:
        console.print_json(results)
        return
    for symbol, figures in results.items():
        show.show_money(symbol, figures)
        if "study" in figures:
            show.show_study(symbol, figures["study"])


def show_runs(runs: RunsOption = RUNS, as_json: JsonOption = False) -> None:
    """Show what was run, side by side."""
    from polyscale.cli import console, show
    from polyscale.pipeline.tell import runs_table

    rows = runs_table(runs)
    if as_json:
        console.print_json(rows)
    elif not rows:
        console.out.print(f"{runs} holds no runs; make one with: polyscale demo")
    else:
        show.show_runs(runs, rows)


def reproduce_run(
    run: RunArgument = "last",
    store: StoreOption = STORE,
    runs: RunsOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Make a run again from its folder; exit status 0 only if every figure is the same to the last digit."""
    from polyscale.cli import console, show
    from polyscale.pipeline.reproduce import reproduce
    from polyscale.runs.folder import State, find_run
    from polyscale.store.store import Store

    folder = find_run(runs, run, (State.COMPLETE,))
    with console.Watch() as watch:
        outcome = reproduce(folder, Store(store), watch)
    if as_json:
        console.print_json(
            {
                "run": str(folder.path),
                "figures": outcome.num_figures,
                "differences": [list(d) for d in outcome.differences],
            }
        )
    else:
        show.show_reproduction(folder.name, outcome)
    if not outcome.same:
        raise typer.Exit(1)


def _job(
    config: Path | None, resume: str | None, changes: _Changes, store: str, runs: Path, watch: Observer
) -> Job:
    """Begin a run of a config, or take up one that was cut off."""
    from polyscale.pipeline.job import begin
    from polyscale.pipeline.job import resume as take_up
    from polyscale.runs.folder import RunFolder, State, find_run
    from polyscale.store.store import Store
    from polyscale.training import ranks

    if config is not None and resume is None:
        return begin(changes.made_to(_read(config)), Store(store), runs, watch)
    if resume is not None and config is None:
        changes.refuse_with_resume()
        unfinished = (State.TRAINING, State.TRAINED)
        path = ranks.from_first(lambda: find_run(runs, resume, unfinished).path)
        return take_up(RunFolder.open(path), Store(store), watch)
    found = "neither" if config is None else "both"
    raise ConfigError(f"either --config FILE or --resume RUN must be given, got {found}")


def _watching() -> AbstractContextManager[Observer]:
    """Progress for a person; of several processes, the first one's."""
    from polyscale.cli import console
    from polyscale.pipeline.run import Silent
    from polyscale.training import ranks

    return console.Watch() if ranks.is_first() else nullcontext(Silent())


def _run(job: Job, watch: Observer) -> tuple[dict[str, Any], list[str]]:
    """Train, judge and audit in short; the summary, and the symbols that were judged."""
    from polyscale.pipeline.audit import Depth, audit_run, keep_audit
    from polyscale.pipeline.run import evaluate
    from polyscale.pipeline.tell import summary

    run = job.train(watch)
    outcomes = evaluate(run, job.symbols, job.prepared, watch)
    try:
        audit = audit_run(run, job.symbols, watch, _CUTS, Depth.NEWEST)
    except PolyscaleError as error:  # the run is there all the same
        told = summary(job.folder, outcomes) | {
            "audit": {"clean": False, "leaks": [f"it broke off: {error}"]}
        }
        return told, [outcome.symbol for outcome in outcomes]
    keep_audit(job.folder, audit, _CUTS, Depth.NEWEST)
    told = summary(job.folder, outcomes) | {
        "audit": {"clean": audit.clean, "leaks": list(map(str, audit.findings))}
    }
    return told, [outcome.symbol for outcome in outcomes]


def tell(told: dict[str, Any], symbols: list[str], seconds: float, *, as_json: bool) -> None:
    """What came out of a run, as tables or as one JSON object; exit status 1 if a row knows its future."""
    from polyscale.cli import console, show

    if as_json:
        console.print_json(told)
    else:
        for symbol in symbols:
            show.show_outcome(told["symbols"][symbol], symbol)
        show.show_short_audit(told["audit"], _CUTS)
        console.out.print(f"report: {told['report']}   ({seconds:.0f} s)", highlight=False)
    if not told["audit"]["clean"]:
        raise typer.Exit(1)


def _read(path: Path) -> RunConfig:
    from polyscale.config.run_config import read_config

    return read_config(path)


def _usable_states() -> tuple[State, ...]:
    """States of a run with a model; what 'last' looks for."""
    from polyscale.runs.folder import State

    return State.TRAINED, State.COMPLETE
