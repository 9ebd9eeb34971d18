"""``polyscale run``, ``train``, ``predict``, ``backtest``, ``demo``, ``runs``, ``reproduce``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyscale.cli.options import RUNS, STORE, JsonOption, RunArgument, RunsOption, StoreOption
from polyscale.market.errors import ConfigError

if TYPE_CHECKING:
    from polyscale.cli.console import Watch
    from polyscale.config.run_config import RunConfig
    from polyscale.pipeline.learn import Prepared
    from polyscale.pipeline.load import SymbolBars
    from polyscale.pipeline.run import Run
    from polyscale.runs.folder import RunFolder

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="YAML file; see configs/.")]
SeedOption = Annotated[int | None, typer.Option(help="Instead of the config's seed.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("run", epilog="Example: polyscale run --config configs/btc_5m.yaml")(run_all)
    app.command("demo", epilog="Example: polyscale demo")(demo)
    app.command(
        "train", epilog="Examples: polyscale train -c configs/btc_5m.yaml; polyscale train --resume last"
    )(train)
    app.command("predict", epilog="Example: polyscale predict last")(predict)
    app.command("backtest", epilog="Example: polyscale backtest last")(backtest)
    app.command("runs", epilog="Example: polyscale runs")(show_runs)
    app.command("reproduce", epilog="Example: polyscale reproduce last")(reproduce_run)


def run_all(
    config: ConfigOption,
    seed: SeedOption = None,
    store: StoreOption = STORE,
    runs: RunsOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Train, forecast, backtest, evaluate and write the report: the main job."""
    _run(_read(config, seed), store, runs, as_json=as_json)


def demo(
    seed: SeedOption = None, store: StoreOption = STORE, runs: RunsOption = RUNS, as_json: JsonOption = False
) -> None:
    """Do the main job on a simulated market, with no file and no network."""
    from polyscale.cli import console
    from polyscale.config.presets import preset

    if not as_json:
        console.out.print(
            "The market of this demo is [bold]simulated[/bold]: its profits are not to be had anywhere."
        )
    _run(_read(preset("demo"), seed), store, runs, as_json=as_json)


def train(
    resume: Annotated[
        str | None, typer.Option(help="Go on with a run whose training was cut off: id or 'last'.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="YAML file; see configs/.")] = None,
    seed: SeedOption = None,
    store: StoreOption = STORE,
    runs: RunsOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Train a model and keep it in a run folder."""
    from polyscale.cli import console

    if (resume is None) == (config is None):
        raise ConfigError(
            "train needs either --config FILE or --resume RUN, got "
            + ("neither" if resume is None else "both")
        )
    with console.Watch() as watch:
        if config is not None:
            settings = _read(config, seed)
            folder, symbols = _start(settings, store, runs, watch)
        else:
            assert resume is not None
            folder, settings, symbols = _resumed(resume, store, runs)
        run, _ = _train(folder, settings, symbols, watch, resume=resume is not None)
    if as_json:
        console.print_json({"run": str(run.folder.path)})
    else:
        console.out.print(f"trained: {run.folder.path}", highlight=False)


def predict(
    run: RunArgument = "last",
    store: StoreOption = STORE,
    runs: RunsOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Forecast with the newest stored bars, from the end of validation on, and show the newest forecast."""
    from polyscale.cli import console, show
    from polyscale.pipeline.judge import forecast_panel
    from polyscale.pipeline.load import load_symbols
    from polyscale.pipeline.run import after_validation, keep_forecast, load_run, newest
    from polyscale.pipeline.tell import forecast_rows
    from polyscale.runs.folder import find_run
    from polyscale.store.store import Store

    trained = load_run(find_run(runs, run).path)
    shown: list[dict[str, Any]] = []
    for item, panel, origins in after_validation(trained, load_symbols(trained.config, Store(store))):
        forecast = forecast_panel(trained.model, panel, origins)
        path = keep_forecast(trained.folder, item.symbol, forecast, "predictions")
        shown.append(
            {"symbol": item.symbol, "forecasts": str(path), "newest": forecast_rows(newest(forecast))}
        )
    if as_json:
        console.print_json(shown)
        return
    for each in shown:
        show.show_forecast(each)


def backtest(
    run: RunArgument = "last",
    store: StoreOption = STORE,
    runs: RunsOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Trade a run's forecasts of the test again, with its strategy and costs, and show the measures."""
    from polyscale.cli import console, show
    from polyscale.pipeline.reproduce import same_bars
    from polyscale.pipeline.run import load_run, trade_again
    from polyscale.runs.folder import find_run
    from polyscale.store.store import Store

    trained = load_run(find_run(runs, run).path)
    results = trade_again(trained, same_bars(trained.folder, trained.config, Store(store)))
    if as_json:
        console.print_json(results)
        return
    for symbol, figures in results.items():
        show.show_money(symbol, figures)


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
    from polyscale.runs.folder import find_run
    from polyscale.store.store import Store

    folder = find_run(runs, run)
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


def _run(config: RunConfig, store: Path, runs: Path, *, as_json: bool) -> None:
    from polyscale.cli import console, show
    from polyscale.pipeline.run import evaluate
    from polyscale.pipeline.tell import summary

    began = time.monotonic()
    with console.Watch() as watch:
        folder, symbols = _start(config, store, runs, watch)
        run, prepared = _train(folder, config, symbols, watch)
        outcomes = evaluate(run, symbols, prepared, watch)
    told = summary(folder, outcomes)
    if as_json:
        console.print_json(told)
        return
    for outcome in outcomes:
        show.show_outcome(told["symbols"][outcome.symbol], outcome.symbol)
    console.out.print(f"report: {told['report']}   ({time.monotonic() - began:.0f} s)", highlight=False)


def _read(path: Path, seed: int | None) -> RunConfig:
    from polyscale.config.run_config import read_config

    config = read_config(path)
    return config if seed is None else config.model_copy(update={"seed": seed})


def _start(config: RunConfig, store: Path, runs: Path, watch: Watch) -> tuple[RunFolder, list[SymbolBars]]:
    from polyscale.pipeline.load import load_at_version
    from polyscale.pipeline.run import start
    from polyscale.store.store import Store

    watch.stage("simulating the market" if config.market.simulation else "reading bars")
    symbols, version = load_at_version(config, Store(store))
    return start(config, symbols, version, runs), symbols


def _resumed(name: str, store: Path, runs: Path) -> tuple[RunFolder, RunConfig, list[SymbolBars]]:
    from polyscale.market.errors import RunError
    from polyscale.pipeline.reproduce import same_bars
    from polyscale.pipeline.run import read_run_config
    from polyscale.runs.folder import State, find_run
    from polyscale.store.store import Store

    folder = find_run(runs, name)
    if folder.state is not State.TRAINING:
        raise RunError(f"{folder.path}: its training has ended; there is nothing to resume")
    config = read_run_config(folder)
    return folder, config, same_bars(folder, config, Store(store))


def _train(
    folder: RunFolder, config: RunConfig, symbols: list[SymbolBars], watch: Watch, *, resume: bool = False
) -> tuple[Run, Prepared]:
    from polyscale.pipeline.run import train as train_run

    return train_run(folder, config, symbols, watch, resume=resume)
