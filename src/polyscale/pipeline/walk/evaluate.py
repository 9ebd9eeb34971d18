"""The walk-forward as a story: load, plan, run what is missing, put together, judge, tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polyscale.config.run_config import RunConfig
from polyscale.evaluation.baselines.registry import ALWAYS, BASELINES, baselines_named, check_installed
from polyscale.market.errors import ConfigError, HistoryError
from polyscale.pipeline.load import SymbolBars, load_at_version, pin_version, same_bars
from polyscale.pipeline.run import Observer, read_run_config, start
from polyscale.pipeline.walk.ablations import ablations
from polyscale.pipeline.walk.assemble import Track, assemble
from polyscale.pipeline.walk.calibrate import calibrate
from polyscale.pipeline.walk.check import check_folds
from polyscale.pipeline.walk.keep import is_done, keep, kept_facts
from polyscale.pipeline.walk.managed import managed_of
from polyscale.pipeline.walk.plan import FULL, NETWORK, Task, plan
from polyscale.pipeline.walk.publish import write_walk_report
from polyscale.pipeline.walk.results import results_of
from polyscale.pipeline.walk.spread import Backend, check_backend, spread
from polyscale.pipeline.walk.task import Work, panels_of
from polyscale.runs.folder import RunFolder, State
from polyscale.store.store import Store

PLAN = "plan.json"


def begin(
    config: RunConfig,
    store: Store,
    root: Path,
    observer: Observer,
    baselines: Sequence[str] | None = None,
    *,
    ablate: bool = False,
    backend: Backend = Backend.LOCAL,
) -> RunFolder:
    """Check what is asked for, read the bars once, and make the folder; nothing is fitted yet.

    Parameters
    ----------
    baselines
        Names of the registry, capitals do not matter; absent for all.
    backend
        Where the tasks are going to run, so that a missing package is found here.

    Raises
    ------
    ConfigError
        If the config has no walk_forward, a baseline is unknown, or a package is not installed.
    HistoryError
        If the bars are too few for a fold.
    """
    if config.walk_forward is None:
        raise ConfigError(
            "polyscale evaluate needs the section walk_forward in the config (first, last), found none"
        )
    chosen = baselines_named(tuple(BASELINES) if baselines is None else baselines)
    check_installed(chosen)
    check_backend(backend)
    observer.stage("simulating the market" if config.market.simulation else "reading bars")
    symbols, version = load_at_version(config, store)
    check_folds(config, symbols)
    folder = start(config, symbols, version, root)
    pin_version(folder, store, version)
    folder.write_json(PLAN, {"baselines": chosen, "ablate": ablate})
    return folder


def evaluate_walk(
    folder: RunFolder, store: Store, observer: Observer, jobs: int, backend: Backend = Backend.LOCAL
) -> dict[str, Any]:
    """Run the tasks that are not done, and judge; goes on where an evaluation was cut off.

    Returns
    -------
    dict
        What evaluation.json holds: see `polyscale.pipeline.walk.results`.
    """
    config = read_run_config(folder)
    symbols = same_bars(folder, config, store)
    tasks, work = _tasks(folder, config, symbols)
    missing = [task for task in tasks if not is_done(folder, task)]
    for number, (task, done) in enumerate(spread(work, missing, jobs, backend), start=1):
        keep(folder, task, done)
        observer.stage(
            f"{len(tasks) - len(missing) + number} of {len(tasks)} tasks: {task.path}, {done.seconds:.0f} s"
        )
    observer.stage("putting the folds together")
    judged = judge_walk(folder, config, symbols, tasks)
    found: dict[str, Any] = _finite({**judged, "seconds": _seconds(folder, tasks)})
    folder.write_json("evaluation.json", found)
    write_walk_report(folder)
    folder.set_state(State.COMPLETE)
    return found


def judge_walk(
    folder: RunFolder, config: RunConfig, symbols: list[SymbolBars], tasks: Sequence[Task]
) -> dict[str, Any]:
    """Judge what the tasks have kept."""
    tracks: list[Track] = []
    for cohort in dict.fromkeys(task.cohort for task in tasks):
        of_cohort = [task for task in tasks if task.cohort == cohort]
        tested = panels_of(config, symbols, cohort.tested)
        slopes = {
            fold: calibrate(
                folder, fold, [t for t in of_cohort if t.kind == NETWORK and t.fold == fold], tested
            )
            for fold in dict.fromkeys(task.fold for task in of_cohort)
        }
        found = [assemble(folder, config, of_cohort, panel, slopes) for panel in tested]
        tracks += [track for track in found if track is not None]
    if not tracks:
        walk = config.walk_forward
        assert walk is not None
        raise HistoryError(
            f"a walk-forward must test at least 1 origin from {walk.first} to {walk.last}, found 0; import "
            "more history or change walk_forward"
        )
    by_symbol = {item.symbol: item for item in symbols if not item.lesson}
    return results_of(
        tracks, config, {each.symbol: managed_of(each, by_symbol[each.symbol], config) for each in tracks}
    )


def _tasks(folder: RunFolder, config: RunConfig, symbols: list[SymbolBars]) -> tuple[list[Task], Work]:
    asked = folder.read_json(PLAN)
    variants = ablations(config) if asked["ablate"] else {}
    assert config.walk_forward is not None
    rivals = [name for name in BASELINES if name in asked["baselines"] or name in ALWAYS]
    tasks = plan(config.walk_forward, symbols, config.seed, rivals, tuple(variants))
    return tasks, Work({FULL: config, **variants}, symbols)


def _seconds(folder: RunFolder, tasks: Sequence[Task]) -> dict[str, float]:
    """Time of all fits of one seed, by name; of baselines with their forecasts."""
    spent: dict[str, float] = {}
    first = min(task.seed for task in tasks)
    for task in tasks:
        if task.seed == first:
            name = NETWORK if task.kind == NETWORK else task.name
            spent[name] = spent.get(name, 0.0) + float(kept_facts(folder, task)["seconds"])
    return spent


def _finite(value: Any) -> Any:
    """JSON has no NaN: None where a number does not exist."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
