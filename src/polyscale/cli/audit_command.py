"""``polyscale audit``: does any row know its future? Of a run, of a function in a file, of the museum."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyscale.cli.bars_commands import Label
from polyscale.cli.options import (
    RUNS,
    STORE,
    CategoryOption,
    JsonOption,
    RunsOption,
    StoreOption,
    VenueOption,
)
from polyscale.market.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

    from polyscale.audit import Audit

_EXAMPLES = (
    "Examples: polyscale audit last; "
    "polyscale audit --stage my_features.py:rows --symbol BTCUSDT --timeframe 5m; "
    "polyscale audit --stage my_features.py:rows --file btc.parquet --timeframe 5m --label open; "
    "polyscale audit --museum"
)


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("audit", epilog=_EXAMPLES)(audit)


def audit(
    run: Annotated[
        str | None, typer.Argument(help="A run: its folder, its id, or 'last' (the usual).")
    ] = None,
    cuts: Annotated[
        int | None,
        typer.Option(min=1, help="Instants at which the future is wrecked; usual: 200."),
    ] = None,
    stage: Annotated[
        str | None, typer.Option(help="FILE.py:FUNCTION, from a frame of bars to rows with close_time.")
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="With --stage: stored bars of this symbol.")] = None,
    file: Annotated[Path | None, typer.Option(help="With --stage: bars from CSV or Parquet.")] = None,
    timeframe: Annotated[str | None, typer.Option(help="Of these bars: 1m, 5m, 1h ...")] = None,
    label: Annotated[
        Label | None, typer.Option(help="With --file: is its time the bar's open or its close?")
    ] = None,
    warm_up: Annotated[
        int | None, typer.Option(min=1, help="With --stage: bars that a value needs, the newest included.")
    ] = None,
    museum: Annotated[
        bool, typer.Option("--museum", help="Show that the fifteen usual leaks are caught.")
    ] = False,
    venue: VenueOption = "bybit",
    category: CategoryOption = "linear",
    store: StoreOption = STORE,
    runs: RunsOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Look for rows that know their future; exit status 0 only if none does."""
    if sum((run is not None, stage is not None, museum)) > 1:
        raise ConfigError("give one of: a run, --stage FILE.py:FUNCTION, --museum; got several")
    if stage is None and any(value is not None for value in (symbol, file, timeframe, label, warm_up)):
        raise ConfigError(
            "--symbol, --file, --timeframe, --label and --warm-up belong to --stage; give it too"
        )
    if museum:
        _show_museum(as_json=as_json)
        return
    if stage is None:
        found = _audit_run(run or "last", cuts or 200, store, runs)
    else:
        bars = _bars(symbol, file, timeframe, label, (venue, category, store))
        found = _audit_stage(stage, bars, cuts or 200, warm_up)
    show(found, as_json=as_json)
    if not found.clean:
        raise typer.Exit(1)


def show(found: Audit, *, as_json: bool) -> None:
    """The tests and the findings."""
    from polyscale.cli import console

    if as_json:
        console.print_json(found.to_dict())
    else:
        console.out.print(str(found), markup=False, highlight=False, soft_wrap=True)


def _audit_run(name: str, cuts: int, store: str, runs: Path) -> Audit:
    from polyscale.cli import console
    from polyscale.pipeline.audit import Depth, audit_run, keep_audit
    from polyscale.pipeline.load import same_bars
    from polyscale.pipeline.run import load_run
    from polyscale.runs.folder import State, find_run
    from polyscale.store.store import Store

    with console.Watch() as watch:
        trained = load_run(find_run(runs, name, (State.TRAINED, State.COMPLETE)).path)
        symbols = same_bars(trained.folder, trained.config, Store(store))
        found = audit_run(trained, symbols, watch, cuts)
    keep_audit(trained.folder, found, cuts, Depth.FULL)
    return found


def _audit_stage(name: str, bars: pl.DataFrame, cuts: int, warm_up: int | None) -> Audit:
    from polyscale.audit import Plan, check

    whole = min(cuts, 3)
    plan = Plan(whole_cuts=whole, newest_cuts=cuts - whole)
    with contextlib.redirect_stdout(sys.stderr):  # what the stage prints is no part of the answer
        try:
            return check(_function(name), bars, warm_up=warm_up, plan=plan)
        except SystemExit as error:
            raise ConfigError(
                f"{name}: a stage must not end the program, it called exit({error.code})"
            ) from error


def _function(name: str) -> Any:
    """The function of ``FILE.py:FUNCTION``."""
    path, colon, function = name.rpartition(":")
    if not colon or not Path(path).is_file():
        raise ConfigError(f"--stage must be FILE.py:FUNCTION with a file that is there, got {name!r}")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"--stage must name a Python file, got {path!r}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    sys.path.insert(0, str(Path(path).resolve().parent))  # what lies beside the file may be imported
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(
            f"{path}: must be a program that runs, it raised {type(error).__name__}: {error}"
        ) from error
    if not callable(getattr(module, function, None)):
        known = sorted(n for n, v in vars(module).items() if callable(v) and not n.startswith("_"))
        raise ConfigError(f"{path}: must hold the function {function!r}, it has {known}")
    return getattr(module, function)


def _bars(
    symbol: str | None,
    file: Path | None,
    timeframe: str | None,
    label: Label | None,
    place: tuple[str, str, str],
) -> pl.DataFrame:
    """Bars of a file or of the store."""
    from polyscale.exchange.bar_file import read_bar_file
    from polyscale.market.bars import Market
    from polyscale.market.timeframe import Timeframe
    from polyscale.store.store import Store

    if (symbol is None) == (file is None) or timeframe is None:
        raise ConfigError(
            "--stage needs --timeframe and either --symbol (stored bars) or --file with --label"
        )
    if file is None:
        venue, category, store = place
        assert symbol is not None
        return Store(store).read_bars(Market(venue, category, symbol), Timeframe.parse(timeframe))
    if label is None:
        raise ConfigError("--file needs --label open or --label close: it is never guessed")
    return read_bar_file(file, Timeframe.parse(timeframe), label.value).bars


def _show_museum(*, as_json: bool) -> None:
    """Every leak, what the audit says of it, and its repair; exit status 1 if one gets through."""
    from polyscale.audit.museum import MUSEUM
    from polyscale.cli import console

    rows = [(exhibit, exhibit.run(), exhibit.repaired()) for exhibit in MUSEUM]
    if as_json:
        console.print_json(
            [
                {
                    "leak": exhibit.name,
                    "caught": not leak.clean,
                    "repaired_clean": repaired.clean,
                    "findings": [finding.to_dict() for finding in leak.findings],
                }
                for exhibit, leak, repaired in rows
            ]
        )
    else:
        console.table(
            f"{sum(not leak.clean for _, leak, _ in rows)} of {len(rows)} leaks caught",
            ["leak", "caught", "repaired", "what the audit says"],
            [
                [
                    exhibit.name,
                    "no" if leak.clean else "yes",
                    "clean" if repaired.clean else "not clean",
                    "" if leak.clean else str(leak.findings[0]),
                ]
                for exhibit, leak, repaired in rows
            ],
            num_text=4,
        )
    if any(leak.clean or not repaired.clean for _, leak, repaired in rows):
        raise typer.Exit(1)
