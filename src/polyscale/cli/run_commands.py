"""``polyscale run``, ``train``, ``predict``, ``backtest``, ``demo``, ``runs``, ``reproduce``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyscale.cli.options import RUNS, STORE, JsonOption, RunArgument, RunsOption, StoreOption
from polyscale.market.errors import ConfigError

if TYPE_CHECKING:
    from polyscale.cli.console import Watch
    from polyscale.config.run_config import RunConfig
    from polyscale.pipeline.load import SymbolBars
    from polyscale.pipeline.run import Run
    from polyscale.runs.folder import RunFolder

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="YAML file; see configs/.")]
SeedOption = Annotated[int | None, typer.Option(help="Instead of the config's seed.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("run", epilog="Example: polyscale run --config configs/btc_5m.yaml")(run_all)
    app.command("demo", epilog="Example: polyscale demo")(demo)
    app.command("train", epilog="Examples: polyscale train -c configs/btc_5m.yaml; polyscale train --resume last")(
        train
    )
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
        console.out.print("The market of this demo is [bold]simulated[/bold]: its profits are not to be had anywhere.")
    _run(_read(preset("demo"), seed), store, runs, as_json=as_json)


def train(
    resume: Annotated[str | None, typer.Option(help="Go on with a run whose training was cut off: id or 'last'.")] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="YAML file; see configs/.")] = None,
    seed: SeedOption = None,
    store: StoreOption = STORE,
    runs: RunsOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Train a model and keep it in a run folder."""
    from polyscale.cli import console

    if (resume is None) == (config is None):
        raise ConfigError("train needs either --config FILE or --resume RUN, got " + ("neither" if resume is None else "both"))
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
    run: RunArgument = "last", store: StoreOption = STORE, runs: RunsOption = RUNS, as_json: JsonOption = False
) -> None:
    """Forecast with the newest stored bars, from the end of validation on, and show the newest forecast."""
    from polyscale.cli import console
    from polyscale.pipeline.load import load_symbols
    from polyscale.pipeline.run import keep_forecast, load_run, newest, parts_of
    from polyscale.pipeline.judge import forecast_panel
    from polyscale.pipeline.tell import forecast_rows
    from polyscale.runs.folder import find_run
    from polyscale.store.store import Store

    trained = load_run(find_run(runs, run).path)
    shown = []
    for item, panel, ends in _after_validation(trained, load_symbols(trained.config, Store(store)), parts_of):
        forecast = forecast_panel(trained.model, panel, ends)
        path = keep_forecast(trained.folder, item.symbol, forecast)
        shown.append({"symbol": item.symbol, "forecasts": str(path), "newest": forecast_rows(newest(forecast))})
    if as_json:
        console.print_json(shown)
        return
    for each in shown:
        rows = each["newest"]
        console.table(
            f"{each['symbol']}: forecast made at {rows[0]['close_time']} UTC",
            ["horizon", "volatility", "base", "probability up", "80 % interval of the return"],
            [
                [
                    row["horizon"],
                    console.percent(row["volatility"], 2),
                    console.percent(row["base_volatility"], 2),
                    console.percent(row["prob_up"]),
                    f"{console.percent(row['low'], 2)} .. {console.percent(row['high'], 2)}",
                ]
                for row in rows
            ],
        )
        console.out.print(f"all forecasts: {each['forecasts']}", highlight=False)


def backtest(
    run: RunArgument = "last", store: StoreOption = STORE, runs: RunsOption = RUNS, as_json: JsonOption = False
) -> None:
    """Trade a run's forecasts of the test again, with its strategy and costs, and show the measures."""
    from polyscale.cli import console
    from polyscale.pipeline.reproduce import same_bars
    from polyscale.pipeline.tell import backtest_again
    from polyscale.pipeline.run import load_run
    from polyscale.runs.folder import find_run
    from polyscale.store.store import Store

    trained = load_run(find_run(runs, run).path)
    results = backtest_again(trained, same_bars(trained.folder, trained.config, Store(store)))
    if as_json:
        console.print_json(results)
        return
    for symbol, figures in results.items():
        names = list(figures["strategy"])
        rows = [[n, *(_measure(figures[who][n]) for who in ("strategy", "buy_and_hold"))] for n in names]
        console.table(f"{symbol}, after costs", ["measure", "strategy", "buy and hold"], rows)


def show_runs(runs: RunsOption = RUNS, as_json: JsonOption = False) -> None:
    """Show what was run, side by side."""
    from polyscale.cli import console
    from polyscale.pipeline.tell import runs_table

    rows = runs_table(runs)
    if as_json:
        console.print_json(rows)
    elif not rows:
        console.out.print(f"{runs} holds no runs; make one with: polyscale demo")
    else:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        console.table(f"runs in {runs}", columns, [[_measure(row.get(name)) for name in columns] for row in rows])


def reproduce_run(
    run: RunArgument = "last", store: StoreOption = STORE, runs: RunsOption = RUNS, as_json: JsonOption = False
) -> None:
    """Make a run again from its folder; exit status 0 only if every figure is the same to the last digit."""
    from polyscale.cli import console
    from polyscale.pipeline.reproduce import reproduce
    from polyscale.runs.folder import find_run
    from polyscale.store.store import Store

    folder = find_run(runs, run)
    with console.Watch() as watch:
        outcome = reproduce(folder, Store(store), watch)
    if as_json:
        console.print_json(
            {"run": str(folder.path), "figures": outcome.num_figures, "differences": [list(d) for d in outcome.differences]}
        )
    elif outcome.same:
        console.out.print(f"{folder.name}: all {outcome.num_figures:,} figures are the same to the last digit")
    else:
        console.table(
            f"{folder.name}: {len(outcome.differences)} of {outcome.num_figures} figures differ",
            ["figure", "then", "now"],
            [[name, repr(then), repr(now)] for name, then, now in outcome.differences[:20]],
        )
    if not outcome.same:
        raise typer.Exit(1)


def _run(config: RunConfig, store: Path, runs: Path, *, as_json: bool) -> None:
    from polyscale.cli import console
    from polyscale.pipeline.run import evaluate
    from polyscale.pipeline.tell import summary

    began = time.monotonic()
    with console.Watch() as watch:
        folder, symbols = _start(config, store, runs, watch)
        run, prepared = _train(folder, config, symbols, watch)
        outcomes = evaluate(run, symbols, prepared, watch)
    told = summary(run, outcomes)
    if as_json:
        console.print_json(told)
        return
    for outcome in outcomes:
        _show_outcome(told["symbols"][outcome.symbol], outcome.symbol)
    console.out.print(f"report: {told['report']}   ({time.monotonic() - began:.0f} s)", highlight=False)


def _show_outcome(told: dict[str, dict[str, dict[str, float]]], symbol: str) -> None:
    from polyscale.cli import console

    columns = ["horizon", "network", "base", "log-HAR", "last value", "network / base", "independent labels"]
    rows = [
        [
            horizon,
            *(console.number(row["qlike"][name]) + f" [{row['low'][name]:.3f}, {row['high'][name]:.3f}]"
              for name in ("network", "base", "log-HAR")),
            console.number(row["qlike"]["last value"]),
            console.number(row["ratio"]),
            str(row["num_independent"]),
        ]
        for horizon, row in told["horizons"].items()
    ]
    console.table(f"{symbol}: QLIKE of volatility in the test (less is better), with intervals", columns, rows)
    for sentence in told["verdict"]:
        console.out.print(f"- {sentence}", highlight=False, markup=False)


def _read(path: Path, seed: int | None) -> RunConfig:
    from polyscale.config.run_config import read_config

    config = read_config(path)
    return config if seed is None else config.model_copy(update={"seed": seed})


def _start(
    config: RunConfig, store: Path, runs: Path, watch: Watch
) -> tuple[RunFolder, list[SymbolBars]]:
    from polyscale.pipeline.load import load_symbols
    from polyscale.pipeline.run import start
    from polyscale.store.store import Store

    watch.stage("simulating the market" if config.market.simulation else "reading bars")
    opened = Store(store)
    version = None if config.market.simulation else opened.version()
    symbols = load_symbols(config, opened, version)
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
) -> tuple[Run, object]:
    from polyscale.pipeline.run import train as train_run

    return train_run(folder, config, symbols, watch, resume=resume)


def _measure(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
