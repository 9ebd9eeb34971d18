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
BASELINES = ("last value", "EWMA", "log-HAR", "base", "ridge", "LightGBM", "LSTM", "transformer (one scale)")
"""As the registry of baselines has them: it loads numpy and polars, too slow for --help."""

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
        list[str] | None,
        typer.Option(
            help=f"Only this one beside base, log-HAR and last value; may be repeated. Absent: all of them. "
            f"One of: {', '.join(BASELINES)}; capitals do not matter."
        ),
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
        raise ConfigError(
            "polyscale evaluate: either --config or --resume must be given, "
            f"got --config {config}, --resume {resume}"
        )
    if resume is not None:
        _refuse_choices(
            {"--baseline": baseline, "--ablate": ablate, "--leave-out": leave_out, "--seeds": seeds}
        )
    place = Backend(backend.value)
    with console.Watch() as watch:
        held = Store(store)
        if config is not None:
            asked = read_config(config).with_walk(leave_out=tuple(leave_out or ()), seeds=seeds)
            folder = begin(asked, held, evaluations, watch, baseline, ablate=ablate, backend=place)
        else:
            assert resume is not None
            folder = find_run(evaluations, resume)
        found = evaluate_walk(folder, held, watch, jobs or _cores(), place)
    report = folder.path / "report.html"
    if as_json:
        console.print_json({"evaluation": str(folder.path), "report": str(report), **_short(found)})
        return
    _show(found)
    console.out.print(f"report: {report}", highlight=False)


def _refuse_choices(choices: dict[str, Any]) -> None:
    """What is fitted and tested was chosen when the evaluation was begun."""
    given = [name for name, value in choices.items() if value]
    if given:
        raise ConfigError(
            f"polyscale evaluate: --resume goes on with what the evaluation was begun with, got "
            f"{', '.join(given)} as well; leave them out, or begin a new evaluation with --config"
        )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _short(found: dict[str, Any]) -> dict[str, Any]:
    """What the command ends with: averages, ratios to the base by symbol, what is claimed, time."""
    return {
        "horizons": found["horizons"],
        "averages": found["averages"],
        "net/base": {symbol: _ratios(each, "base") for symbol, each in found["symbols"].items()},
        "ablations": found["ablations"],
        "against": _against(found),
        "shown": [claim["name"] for claim in found["claims"] if claim["shown"]],
        "seconds": found["seconds"],
    }


def _against(found: dict[str, Any]) -> list[str]:
    """Whom claims on volatility must beat: the rivals of the scorecards, the hardest first."""
    names: dict[str, None] = {}
    for symbol in found["symbols"].values():
        for horizon in symbol["scorecard"]["horizons"]:
            names |= {each["name"]: None for each in (horizon["volatility"] or {}).get("baselines", ())}
    return sorted(names, key=BASELINES.index, reverse=True)


def _ratios(symbol: dict[str, Any], rival: str) -> list[float | None]:
    """The network's QLIKE over a rival's, per horizon."""
    rows = [row["models"].get(rival) for row in symbol["standings"]]
    return [row["qlike"]["ratio"] if row else None for row in rows]


def _show(found: dict[str, Any]) -> None:
    """Tables: the network against each rival on average, and against the base by symbol; what is shown."""
    from polyscale.cli import console

    rivals = dict.fromkeys(name for row in found["averages"] for name in row if name != "network")
    _print_table(
        "QLIKE of the network over that of each rival, mean over symbols",
        ["rival", *found["horizons"]],
        {
            name: [row[name]["qlike_ratio"] if name in row else None for row in found["averages"]]
            for name in rivals
        },
    )
    if "base" in rivals:
        by_symbol = {symbol: _ratios(each, "base") for symbol, each in found["symbols"].items()}
        _print_table("against the base, by symbol", ["symbol", *found["horizons"]], by_symbol)
    if found["ablations"]:
        title = "QLIKE without a part, over that of the whole"
        _print_table(title, ["variant", *found["horizons"]], found["ablations"])
    shown = [claim["name"] for claim in found["claims"] if claim["shown"]]
    console.out.print(
        f"shown{_beaten(_against(found))}: {', '.join(shown) if shown else 'no edge'}", highlight=False
    )


def _print_table(title: str, heads: list[str], rows: dict[str, list[float | None]]) -> None:
    """Ratios, a row for each name; empty where there is none."""
    from polyscale.cli import console

    cells = [
        [name, *("" if ratio is None else f"{ratio:.3f}" for ratio in row)] for name, row in rows.items()
    ]
    console.table(title, heads, cells)


def _beaten(names: list[str]) -> str:
    """`` against a, b and c``, or nothing."""
    from polyscale.report.wording import joined

    return f" against {joined(names)}" if names else ""
