"""``polyscale search``: better settings by validation, within a search space; the test stays unseen."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from polyscale.cli.options import STORE, JsonOption, SeedOption, StoreOption
from polyscale.market.errors import ConfigError

if TYPE_CHECKING:
    from polyscale.cli.console import Watch
    from polyscale.pipeline.search import Search
    from polyscale.pipeline.search_folder import Trial

_EXAMPLES = (
    "Examples: polyscale search -c configs/btc_5m.yaml --space space.yaml --trials 30 --jobs 2; "
    "polyscale search --resume last --trials 60"
)
SEARCHES = Path("searches")


class Objective(StrEnum):
    """What is minimised on validation."""

    VAL_LOSS = "val_loss"
    VAL_QLIKE = "val_qlike"


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("search", epilog=_EXAMPLES)(search)


def search(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="YAML file; see configs/.")] = None,
    space: Annotated[
        Path | None,
        typer.Option(help="YAML file: keys of the config, each with {low, high, log} or {choices}."),
    ] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with a search: its id, or 'last'.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="In all, those of a resumed search included.")] = 20,
    jobs: Annotated[
        int, typer.Option(min=1, help="Trials side by side, one thread each; a resumed search keeps its own.")
    ] = 1,
    objective: Annotated[
        Objective, typer.Option(help="Minimised on validation, in units of the base forecast's.")
    ] = Objective.VAL_LOSS,
    seed: SeedOption = None,
    store: StoreOption = STORE,
    searches: Annotated[Path, typer.Option(help="Folder of the searches.", show_default=True)] = SEARCHES,
    as_json: JsonOption = False,
) -> None:
    """Train with other settings, trial by trial, and keep the best by validation as a config of its own."""
    from polyscale.cli import console

    with console.Watch() as watch:
        found = _search(config, space, resume, jobs, objective.value, seed, store, searches, watch)
        done = found.run(trials, watch)
    told = _summary(found, done)
    if as_json:
        console.print_json(told)
    else:
        _show(told, done, list(found.space))


def _search(
    config: Path | None,
    space: Path | None,
    resume: str | None,
    jobs: int,
    objective: Literal["val_loss", "val_qlike"],
    seed: int | None,
    store: str,
    searches: Path,
    watch: Watch,
) -> Search:
    """Begin a search, or take one up."""
    from polyscale.config.run_config import read_config
    from polyscale.pipeline.search import begin_search, resume_search
    from polyscale.pipeline.search_folder import find_search
    from polyscale.pipeline.search_space import read_space
    from polyscale.store.store import Store

    if resume is not None and config is None and space is None:
        return resume_search(find_search(searches, resume), Store(store), watch)
    if resume is None and config is not None and space is not None:
        settings = read_config(config)
        settings = settings if seed is None else settings.model_copy(update={"seed": seed})
        wanted = read_space(space, settings, objective)
        return begin_search(settings, wanted, objective, jobs, Store(store), searches, watch)
    raise ConfigError(
        "either --config FILE and --space FILE must be given, or --resume SEARCH alone, got "
        f"config {config}, space {space}, resume {resume}"
    )


def _summary(search: Search, trials: list[Trial]) -> dict[str, Any]:
    from dataclasses import asdict

    from polyscale.pipeline.search import best_of

    best = best_of(trials, search.objective)
    assert best is not None
    return {
        "search": str(search.folder.path),
        "objective": search.objective,
        "num_trials": len(trials),
        "best": asdict(best),
        "config": str(search.folder.path / "best.yaml"),
        "trials": [asdict(trial) for trial in trials],
    }


def _show(told: dict[str, Any], trials: list[Trial], keys: list[str]) -> None:
    """Best first, failed trials last."""
    from polyscale.cli import console

    def order(trial: Trial) -> tuple[bool, float]:
        score = trial.score(told["objective"])
        return score is None, score or 0.0

    console.table(
        f"{told['search']}: {len(trials)} trials, best {told['objective']} first; the test was not looked at",
        ["trial", *keys, "val_loss", "val_qlike", "epochs", "seconds"],
        [
            [
                str(trial.number),
                *(_plain(trial.values[key]) for key in keys),
                console.number(trial.val_loss, 4) if trial.reason is None else "failed",
                console.number(trial.val_qlike, 4),
                str(trial.epochs),
                console.number(trial.seconds, 1),
            ]
            for trial in sorted(trials, key=order)
        ],
    )
    for trial in trials:
        if trial.reason is not None:
            console.out.print(f"- trial {trial.number}: {trial.reason}", highlight=False, markup=False)
    console.out.print(f"best: {told['config']}", highlight=False)


def _plain(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
