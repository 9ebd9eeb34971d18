"""A search for better settings: train the config with other values, keep those with the best validation.

Trials are proposed in rounds by a seeded tree-structured Parzen estimator, and trained side by side in
processes of one thread each. The draws of a round are a function of the seed and of the trials before it: a
search that was cut off goes on as if it had not been.

The test is never looked at, by construction: what lies after the end of validation is cut off the bars before
a feature, a base forecast or a label of any trial is computed. Where parts are given as shares, the end is
found from the times at which the config can forecast, and from nothing else. A config has two tests where it
has a walk_forward: that of its split and that of the folds. Parts end before the one that begins first.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from polyscale.config.run_config import RunConfig, parse_config
from polyscale.dataset.folds import Fold, folds
from polyscale.dataset.split import Boundaries
from polyscale.market.errors import ConfigError, HistoryError, RunError, TrainingError
from polyscale.market.instant import ms_of, shown, time_of
from polyscale.pipeline.learn import Prepared, learn, panel_of, prepare, splits_of
from polyscale.pipeline.load import (
    SymbolBars,
    describe_version,
    fingerprint,
    load_at_version,
    load_symbols,
    pin_version,
    version_of,
)
from polyscale.pipeline.provenance import provenance
from polyscale.pipeline.run import Observer
from polyscale.pipeline.search_folder import (
    Trial,
    new_folder,
    read_about,
    read_trials,
    write_best,
    write_trials,
)
from polyscale.pipeline.search_space import (
    Dimension,
    Objective,
    Space,
    Value,
    changed,
    parse_space,
    value_at,
)
from polyscale.runs.folder import RunFolder
from polyscale.store.store import Store
from polyscale.training.progress import kept_report

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_AT_RANDOM = 8  # trials before the estimator has enough to learn from


@dataclass(frozen=True, eq=False)
class Search:
    """A folder, what the trials change, and the bars up to the end of validation."""

    folder: RunFolder
    config: RunConfig
    space: Space
    objective: Objective
    jobs: int
    symbols: list[SymbolBars]
    fold: Fold

    def run(self, num_trials: int, observer: Observer) -> list[Trial]:
        """Train until there are so many trials, those of before included; keep each as it comes.

        Raises
        ------
        TrainingError
            If every trial failed.
        """
        trials = read_trials(self.folder)
        prepared = self._prepared_once(observer) if len(trials) < num_trials else None
        while len(trials) < num_trials:
            begun = len(trials) - len(trials) % self.jobs
            whole_round = self._propose(trials[:begun], min(self.jobs, num_trials - begun))
            proposed = whole_round[len(trials) - begun :]
            observer.stage(f"trials {len(trials) + 1} to {len(trials) + len(proposed)} of {num_trials}")
            for trial in self._train(proposed, len(trials) + 1, prepared):
                trials.append(trial)
                self._keep(trials)
                observer.stage(_told(trial, self.objective))
        if all(trial.score(self.objective) is None for trial in trials):
            raise TrainingError(
                f"a search must have one trial that trains, all {len(trials)} failed, the first because: "
                f"{trials[0].reason}; change the search space"
            )
        return trials

    def _prepared_once(self, observer: Observer) -> Prepared | None:
        """Panels for all trials, if none changes them."""
        if any(key.startswith("data.") for key in self.space):
            return None
        observer.stage("features and base forecast")
        return prepare_until(self.config, self.symbols, self.fold)

    def _propose(self, trials: list[Trial], count: int) -> list[dict[str, Value]]:
        """Values of the next trials, from those before."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(
            seed=self.config.seed * 1_000_003 + len(trials), n_startup_trials=_AT_RANDOM, constant_liar=True
        )
        study = optuna.create_study(direction="minimize", sampler=sampler)
        ranges = {key: _distribution(each, value_at(self.config, key)) for key, each in self.space.items()}
        states = optuna.trial.TrialState
        for trial in trials:
            score = trial.score(self.objective)
            state = states.FAIL if score is None else states.COMPLETE
            study.add_trial(
                optuna.trial.create_trial(state=state, value=score, params=trial.values, distributions=ranges)
            )
        return [dict(study.ask(ranges).params) for _ in range(count)]

    def _train(
        self, proposed: list[dict[str, Value]], first: int, prepared: Prepared | None
    ) -> Iterator[Trial]:
        """Trials as they come, in their order."""
        from joblib import Parallel, delayed, parallel_config

        work = [
            delayed(train_trial)(self.config, values, number, self.symbols, self.fold, prepared)
            for number, values in enumerate(proposed, start=first)
        ]
        with parallel_config(backend="loky", n_jobs=min(self.jobs, len(work)), inner_max_num_threads=1):
            yield from Parallel(return_as="generator")(work)

    def _keep(self, trials: list[Trial]) -> None:
        write_trials(self.folder, trials)
        best = best_of(trials, self.objective)
        if best is not None:
            config = changed(self.config, best.values, "best.yaml")
            write_best(self.folder, config, best, self.objective, len(trials))


def begin_search(
    config: RunConfig,
    space: Space,
    objective: Objective,
    jobs: int,
    store: Store,
    root: Path,
    observer: Observer,
) -> Search:
    """Load the bars, cut the test off, and make the folder."""
    observer.stage("simulating the market" if config.market.simulation else "reading bars")
    symbols, version = load_at_version(config, store)
    fold = fold_of(config, symbols)
    observer.stage(
        f"training until {shown(fold.ends.train_end)}, validation until {shown(fold.ends.validate_end)}; "
        "what comes after is cut off"
    )
    symbols = cut_off(symbols, fold.ends.validate_end)
    about = {
        **provenance(config.training.threads, config.seed),
        "objective": objective,
        "jobs": jobs,
        "ends": asdict(fold.ends),
        "train_start": fold.train_start,
        "data": {**describe_version(config, version), "sha256": fingerprint(symbols)},
    }
    folder = new_folder(root, config, space, about)
    pin_version(folder, store, version)
    return Search(folder, config, space, objective, jobs, symbols, fold)


def resume_search(folder: RunFolder, store: Store, observer: Observer) -> Search:
    """Take up a search again, over the same bars.

    Raises
    ------
    RunError
        If the bars are no longer the same, or the search looked at what its walk_forward tests.
    """
    about = read_about(folder)
    config = parse_config(folder.read_text("config.yaml"), f"{folder.path}/config.yaml")
    where = f"{folder.path}/space.yaml"
    space = parse_space(folder.read_text("space.yaml"), where, config, about["objective"])
    observer.stage("reading bars")
    data, fold = about["data"], Fold("search", about.get("train_start"), Boundaries(**about["ends"]))
    _check_unseen(folder, config, fold)
    symbols = cut_off(load_symbols(config, store, version_of(data)), fold.ends.validate_end)
    now = fingerprint(symbols)
    if now != data["sha256"]:
        raise RunError(
            f"{folder.path}: the bars must hash to {data['sha256']}, got {now}; begin a new search"
        )
    return Search(folder, config, space, about["objective"], about["jobs"], symbols, fold)


def fold_of(config: RunConfig, symbols: list[SymbolBars]) -> Fold:
    """Training and validation of the split or of the walk-forward's first fold: whose test begins first.

    The test has no place in a search, and ends where it begins.
    """
    fold = Fold("search", None, _ends_of_split(config, symbols))
    if config.walk_forward is not None:
        first = folds(config.walk_forward)[0]
        fold = min(fold, first, key=lambda each: each.ends.validate_end)
    return replace(fold, ends=replace(fold.ends, test_end=fold.ends.validate_end))


def _ends_of_split(config: RunConfig, symbols: list[SymbolBars]) -> Boundaries:
    dates = (config.split.train_until, config.split.validate_until)
    if dates[0] is not None and dates[1] is not None:
        train_end, validate_end = _end_of(dates[0]), _end_of(dates[1])
    else:
        ends = prepare(config, symbols).ends
        train_end, validate_end = ends.train_end, ends.validate_end
    return Boundaries(train_end, validate_end, validate_end)


def _check_unseen(folder: RunFolder, config: RunConfig, fold: Fold) -> None:
    if config.walk_forward is None:
        return
    tested, end = folds(config.walk_forward)[0].ends.validate_end, fold.ends.validate_end
    if end > tested:
        raise RunError(
            f"{folder.path}: a search must not see what is tested; its validation ends at {shown(end)}, "
            f"walk_forward.first is {shown(tested)}; begin a new search, which ends before it"
        )


def cut_off(symbols: list[SymbolBars], end: int) -> list[SymbolBars]:
    """Bars and funding known at an instant, and nothing after it."""
    last = time_of(end)

    def until(frame: pl.DataFrame, column: str) -> pl.DataFrame:
        return frame.filter(pl.col(column) <= last)

    return [
        replace(
            item,
            bars=until(item.bars, "close_time"),
            native={timeframe: until(frame, "close_time") for timeframe, frame in item.native.items()},
            funding=None if item.funding is None else until(item.funding, "time"),
        )
        for item in symbols
    ]


def prepare_until(config: RunConfig, symbols: list[SymbolBars], fold: Fold) -> Prepared:
    """Panels of bars that were cut off, with the parts of a fold."""
    panels = [panel_of(item, symbols, config) for item in symbols]
    splits, ends = splits_of(symbols, panels, fold.split), fold.ends
    for part in ("train", "validate"):
        if not any(getattr(each, part).any() for each in splits):
            raise HistoryError(
                f"the {part} part needs at least 1 origin with labels, found 0; parts end at "
                f"{shown(ends.train_end)} and {shown(ends.validate_end)}; import more bars, or change "
                "split or walk_forward, whichever tests first"
            )
    return Prepared(panels, splits, ends)


def train_trial(
    config: RunConfig,
    values: dict[str, Value],
    number: int,
    symbols: list[SymbolBars],
    fold: Fold,
    prepared: Prepared | None,
) -> Trial:
    """Train the config with other values; a trial that cannot be trained says why."""
    begin = time.monotonic()
    try:
        tried = changed(config, values, f"trial {number}")
        prepared = prepared or prepare_until(tried, symbols, fold)
        with tempfile.TemporaryDirectory() as checkpoints:
            _, history = learn(tried, prepared, Path(checkpoints))
    except (ConfigError, HistoryError, TrainingError) as error:
        return Trial(number, values, None, None, 0, 0, round(time.monotonic() - begin, 1), str(error))
    scored = kept_report(history, tried.training.keep)
    assert scored is not None  # training fails where no validation loss is finite
    skipped = sum(each.skipped for each in history)
    seconds = round(time.monotonic() - begin, 1)
    return Trial(number, values, scored.val_loss, scored.val_qlike, len(history), skipped, seconds)


def best_of(trials: list[Trial], objective: Objective) -> Trial | None:
    """The trial with the least objective, the first of equals; None where all failed."""
    scored = [
        (score, trial.number, trial) for trial in trials if (score := trial.score(objective)) is not None
    ]
    return min(scored)[2] if scored else None


def _distribution(dimension: Dimension, value: Any) -> BaseDistribution:
    """What Optuna calls a dimension; whole numbers where the config holds one."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.choices is not None:
        return CategoricalDistribution(dimension.choices)
    low, high = dimension.low, dimension.high
    assert low is not None
    assert high is not None
    whole = isinstance(value, int) or (value is None and isinstance(low, int) and isinstance(high, int))
    if whole:
        return IntDistribution(int(low), int(high), log=dimension.log)
    return FloatDistribution(low, high, log=dimension.log)


def _told(trial: Trial, objective: Objective) -> str:
    score = trial.score(objective)
    came = (
        f"failed: {trial.reason}" if score is None else f"{objective} {score:.4f} after {trial.epochs} epochs"
    )
    return f"trial {trial.number}: {came}"


def _end_of(day: date) -> int:
    return ms_of(datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1))
