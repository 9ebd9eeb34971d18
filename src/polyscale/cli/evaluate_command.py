"""``polyscale evaluate``: the walk-forward of a config, beside every baseline."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from polyscale.cli.options import STORE, JsonOption, StoreOption
from polyscale.market.errors import ConfigError

EVALUATIONS = Path("evaluations")
_EXAMPLES = (
    "Examples: polyscale evaluate -c configs/crypto_5m.yaml; polyscale evaluate -c configs/crypto_5m.yaml "
    "--leave-out SOLUSDT --seeds 1; polyscale evaluate --resume last --backend ray --jobs 16"
)


class Where(StrEnum):
    """Whose processors."""

    LOCAL = "local"
    RAY = "ray"


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("evaluate", epilog=_EXAMPLES)(evaluate)


def evaluate(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="YAML file with a section walk_forward.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(help="Go on with an evaluation that was cut off: its id, or 'last'.")
    ] = None,
    baseline: Annotated[
        list[str] | None, typer.Option(help="Only this one; may be repeated. Absent: all of them.")
    ] = None,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Also without each part of the network, one seed each.")
    ] = False,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="Test this symbol with networks that never saw it; repeatable.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Instead of walk_forward.seeds.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Tasks side by side. [default: all cores]")] = None,
    backend: Annotated[
        Where, typer.Option(help="Processes of this machine, or the Ray cluster of RAY_ADDRESS.")
    ] = Where.LOCAL,
    store: StoreOption = STORE,
    evaluations: Annotated[
        Path, typer.Option(help="Folder of the evaluations.", show_default=True)
    ] = EVALUATIONS,
    as_json: JsonOption = False,
) -> None:
    """Fit again and again along time, test on what follows, and compare with every baseline."""
    from polyscale.cli import console
    from polyscale.config.run_config import read_config
    from polyscale.pipeline.walk.evaluate import begin, evaluate_walk
    from polyscale.pipeline.walk.spread import Backend
    from polyscale.runs.folder import find_run
    from polyscale.store.store import Store

    if (config is None) == (resume is None):
        raise ConfigError("polyscale evaluate: give either --config or --resume")
    with console.Watch() as watch:
        held = Store(store)
        if config is not None:
            asked = read_config(config).with_walk(leave_out=tuple(leave_out or ()), seeds=seeds)
            folder = begin(asked, held, evaluations, watch, baseline, ablate=ablate)
        else:
            assert resume is not None
            folder = find_run(evaluations, resume)
        found = evaluate_walk(folder, held, watch, jobs or _cores(), Backend(backend.value))
    report = folder.path / "report.html"
    if as_json:
        console.print_json({"evaluation": str(folder.path), "report": str(report), **_short(found)})
        return
    _show(found)
    console.out.print(f"report: {report}", highlight=False)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _short(found: dict[str, Any]) -> dict[str, Any]:
    """What the command ends with: averages, ratios to the base by symbol, what is claimed, time."""
    return {
        "horizons": found["horizons"],
        "averages": found["averages"],
        "net/base": {symbol: _ratios(each, "base") for symbol, each in found["symbols"].items()},
        "ablations": found["ablations"],
        "shown": [claim["name"] for claim in found["claims"] if claim["shown"]],
        "seconds": found["seconds"],
    }


def _ratios(symbol: dict[str, Any], rival: str) -> list[float | None]:
    """The network's QLIKE over a rival's, per horizon."""
    rows = [row["models"].get(rival) for row in symbol["standings"]]
    return [row["qlike"]["ratio"] if row else None for row in rows]


def _show(found: dict[str, Any]) -> None:
    """Tables: the network against each rival on average, and against the base by symbol."""
    from rich.table import Table

    from polyscale.cli import console

    horizons = found["horizons"]
    table = Table(
        title="QLIKE of the network over that of each rival, mean over symbols", title_justify="left"
    )
    table.add_column("rival")
    for horizon in horizons:
        table.add_column(horizon, justify="right")
    for name in [name for name in found["averages"][0] if name != "network"]:
        table.add_row(
            name, *(f"{row[name]['qlike_ratio']:.3f}" if name in row else "" for row in found["averages"])
        )
    console.out.print(table)
    table = Table(title="against the base, by symbol", title_justify="left")
    for head in ("symbol", *horizons):
        table.add_column(head, justify="left" if head == "symbol" else "right")
    for symbol, each in found["symbols"].items():
        ratios = _ratios(each, "base")
        table.add_row(symbol, *("" if ratio is None else f"{ratio:.3f}" for ratio in ratios))
    console.out.print(table)
    if found["ablations"]:
        table = Table(title="QLIKE without a part, over that of the whole", title_justify="left")
        for head in ("variant", *horizons):
            table.add_column(head, justify="left" if head == "variant" else "right")
        for name, ratios in found["ablations"].items():
            table.add_row(name, *("" if ratio is None else f"{ratio:.3f}" for ratio in ratios))
        console.out.print(table)
    shown = [claim["name"] for claim in found["claims"] if claim["shown"]]
    console.out.print(f"shown: {', '.join(shown) if shown else 'no edge'}", highlight=False)
