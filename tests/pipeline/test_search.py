"""A search: spaces that are checked beforehand, trials that repeat, a test that is never seen."""

import json
from dataclasses import replace

import polars as pl
import pytest
import yaml

from polyscale.config.run_config import parse_config, read_config
from polyscale.dataset.folds import folds
from polyscale.market.errors import ConfigError, RunError, TrainingError
from polyscale.market.instant import time_of
from polyscale.pipeline import search as search_file
from polyscale.pipeline.load import load_symbols
from polyscale.pipeline.run import Silent
from polyscale.pipeline.search import begin_search, cut_off, fold_of, prepare_until, resume_search
from polyscale.pipeline.search_folder import find_search, read_trials
from polyscale.pipeline.search_space import changed, parse_space, value_at
from polyscale.store.store import Store
from polyscale.training.progress import EpochReport
from tests.pipeline.small import small

CONFIG = parse_config(small(), "small")
SPACE = """
training.learning_rate: {low: 0.001, high: 0.05, log: true}
network.encoders.0.layers: {low: 1, high: 2}
training.schedule: {choices: [one_cycle, warm_restarts]}
"""


def begun(folder, config=CONFIG, space=SPACE, jobs=1, objective="val_loss"):
    wanted = parse_space(space, "space", config, objective)
    return begin_search(config, wanted, objective, jobs, Store(folder / "store"), folder / "s", Silent())


def figures(trials):
    """Trials without their clock."""
    return [replace(trial, seconds=0.0) for trial in trials]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A search of four trials in rounds of two, and its trials."""
    folder = tmp_path_factory.mktemp("search")
    search = begun(folder, jobs=2)
    return folder, search, search.run(4, Silent())


def test_the_best_config_is_the_base_with_the_best_trials_values(done):
    _, search, trials = done
    best = min(trials, key=lambda trial: trial.val_loss)
    config = read_config(search.folder.path / "best.yaml")
    assert config == changed(CONFIG, best.values, "best")
    assert value_at(config, "training.learning_rate") == best.values["training.learning_rate"]
    assert value_at(config, "network.encoders.1.layers") == value_at(CONFIG, "network.encoders.1.layers")
    head = (search.folder.path / "best.yaml").read_text().splitlines()[0]
    assert head.startswith(f"# Trial {best.number} of 4 in the search {search.folder.name}: val_loss")


def test_trials_lie_in_their_ranges_and_are_kept(done):
    _, search, trials = done
    assert [trial.number for trial in trials] == [1, 2, 3, 4]
    assert len({trial.values["training.learning_rate"] for trial in trials}) == 4
    for trial in trials:
        assert 0.001 <= trial.values["training.learning_rate"] <= 0.05
        assert trial.values["network.encoders.0.layers"] in {1, 2}
        assert trial.values["training.schedule"] in {"one_cycle", "warm_restarts"}
        assert trial.epochs == 2
    assert read_trials(search.folder) == trials
    assert {path.name for path in search.folder.path.iterdir()} == {
        "search.json",
        "config.yaml",
        "space.yaml",
        "trials.json",
        "best.yaml",
    }


def test_a_search_that_was_cut_off_goes_on_as_if_it_had_not_been(done, tmp_path):
    """Cut off in the middle of a round of two."""
    *_, trials = done
    cut = begun(tmp_path, jobs=2)
    cut.run(1, Silent())
    again = resume_search(find_search(tmp_path / "s", "last"), Store(tmp_path / "store"), Silent())
    assert figures(again.run(3, Silent())) == figures(trials[:3])
    assert figures(again.run(2, Silent())) == figures(trials[:3])


def test_a_trial_is_what_training_its_config_gives(done):
    *_, search, trials = done
    prepared = prepare_until(CONFIG, search.symbols, search.fold)
    alone = search_file.train_trial(CONFIG, trials[2].values, 3, search.symbols, search.fold, prepared)
    assert figures([alone]) == figures(trials[2:3])


@pytest.mark.parametrize(
    "split",
    ["{train_share: 0.6, validate_share: 0.2}", "{train_until: 2025-01-25, validate_until: 2025-02-02}"],
)
def test_what_comes_after_validation_is_cut_off_first(tmp_path, monkeypatch, split):
    text = small().replace("{train_share: 0.6, validate_share: 0.2}", split)
    config = parse_config(text, "small")
    seen = []
    monkeypatch.setattr(
        search_file, "panel_of", lambda item, *rest: seen.append(item) or panel_of(item, *rest)
    )
    panel_of = __import__("polyscale.pipeline.learn", fromlist=["panel_of"]).panel_of
    search = begun(tmp_path, config)
    whole = load_symbols(config, Store(tmp_path / "store"))
    assert search.symbols[0].bars.height < whole[0].bars.height
    prepared = prepare_until(config, search.symbols, search.fold)
    end = time_of(search.fold.ends.validate_end)
    assert seen
    assert all(item.bars["close_time"].max() <= end for item in seen)
    assert all(panel.time_ms[-1] <= search.fold.ends.validate_end for panel in prepared.panels)
    assert not any(part.test.any() for part in prepared.splits)
    ordinary = search_file.prepare(config, whole)
    for ours, theirs in zip(prepared.splits, ordinary.splits, strict=True):
        assert ours.train.tolist() == theirs.train[: len(ours.train)].tolist()
        assert ours.validate.tolist() == theirs.validate[: len(ours.validate)].tolist()
        assert theirs.validate.sum() == ours.validate.sum()


def test_bars_after_validation_do_not_move_a_trial():
    """Another future, the same losses."""
    symbols = load_symbols(CONFIG, Store("none"))
    fold = fold_of(CONFIG, symbols)
    wrecked = [
        replace(
            item,
            bars=item.bars.with_columns(
                pl.when(pl.col("close_time") > time_of(fold.ends.validate_end))
                .then(pl.col(name) * 7)
                .otherwise(pl.col(name))
                for name in ("open", "high", "low", "close")
            ),
        )
        for item in symbols
    ]
    first, second = (
        search_file.train_trial(CONFIG, {}, 1, cut_off(each, fold.ends.validate_end), fold, None)
        for each in (symbols, wrecked)
    )
    assert first.val_loss is not None
    assert figures([first]) == figures([second])


WALK = "walk_forward: {first: 2025-01-28, last: 2025-02-05, validate_days: 4, window_days: 9}\n"


def walk_config(split="{train_share: 0.6, validate_share: 0.2}"):
    return parse_config(small().replace("{train_share: 0.6, validate_share: 0.2}", split) + WALK, "small")


@pytest.mark.parametrize(
    "split",
    ["{train_share: 0.6, validate_share: 0.2}", "{train_until: 2025-01-25, validate_until: 2025-02-02}"],
)
def test_a_search_sees_of_a_walk_forward_what_its_first_fold_sees(tmp_path, split):
    config = walk_config(split)
    search = begun(tmp_path, config)
    first = folds(config.walk_forward)[0]
    assert search.fold.ends.validate_end == first.ends.validate_end
    assert search.symbols[0].bars["close_time"].max() == time_of(first.ends.validate_end)
    ours = prepare_until(config, search.symbols, search.fold).splits[0]
    whole = load_symbols(config, Store(tmp_path / "store"))
    theirs = first.split(search_file.panel_of(whole[0], whole, config))
    for part in ("train", "validate"):
        seen = getattr(theirs, part)
        assert getattr(ours, part).tolist() == seen[: len(ours.train)].tolist()
        assert seen.any()
        assert not seen[len(ours.train) :].any()
    assert not ours.test.any()
    again = resume_search(find_search(tmp_path / "s", "last"), Store(tmp_path / "store"), Silent())
    assert replace(again.fold, name="") == replace(search.fold, name="")


def test_a_split_whose_test_begins_before_the_walk_forward_keeps_its_ends():
    config = walk_config("{train_until: 2025-01-20, validate_until: 2025-01-24}")
    found = fold_of(config, load_symbols(config, Store("none")))
    assert (time_of(found.ends.train_end).day, time_of(found.ends.validate_end).day) == (21, 25)
    assert found.train_start is None


def test_a_search_that_saw_the_walk_forwards_test_does_not_go_on(tmp_path):
    search = begun(tmp_path, walk_config())
    about = search.folder.read_json("search.json")
    late = {**about["ends"], "validate_end": about["ends"]["validate_end"] + 1}
    search.folder.write_json("search.json", {**about, "ends": late})
    with pytest.raises(RunError, match=r"must not see what is tested.*2025-01-28.*begin a new search"):
        resume_search(find_search(tmp_path / "s", "last"), Store(tmp_path / "store"), Silent())


@pytest.mark.parametrize(("keep", "loss", "qlike"), [("best", 0.7, 0.72), ("last", 0.8, 0.82)])
def test_a_trial_is_scored_by_the_epoch_that_a_run_would_keep(monkeypatch, keep, loss, qlike):
    losses = ((0.9, 0.92), (0.7, 0.72), (0.8, 0.82), (None, None))
    history = [EpochReport(i, 4, 1.0, *pair) for i, pair in enumerate(losses, start=1)]
    monkeypatch.setattr(search_file, "learn", lambda *_: (None, history))
    fold = fold_of(CONFIG, load_symbols(CONFIG, Store("none")))
    prepared = search_file.Prepared([], [], fold.ends)
    trial = search_file.train_trial(CONFIG, {"training.keep": keep}, 1, [], fold, prepared)
    assert (trial.val_loss, trial.val_qlike, trial.epochs) == (loss, qlike, 4)


def test_keys_of_the_walk_forward_are_refused():
    space = "walk_forward.validate_days: {low: 2, high: 4}"
    with pytest.raises(ConfigError, match=r"walk_forward.validate_days would change or never touch"):
        parse_space(space, "space", walk_config(), "val_loss")


def test_a_trial_that_cannot_be_trained_is_kept_with_its_reason(tmp_path):
    """Each value is allowed by itself, and the two together as well; the history is too short for both."""
    space = "{network.d_model: {choices: [8, 16]}, training.epochs: {low: 1, high: 2}}"
    search = begun(tmp_path, space=space)
    good, bad = {"network.d_model": 8, "training.epochs": 1}, {"network.d_model": 9, "training.epochs": 1}
    trials = list(search._train([bad, good], 1, None))
    assert trials[0].val_loss is None
    assert "trial 1" in trials[0].reason
    search._keep(trials)
    assert read_config(search.folder.path / "best.yaml") == changed(CONFIG, good, "good")
    only = begun(tmp_path, space=space)
    only._keep(trials[:1])
    assert not (only.folder.path / "best.yaml").exists()
    with pytest.raises(
        TrainingError, match="must have one trial that trains, all 1 failed, the first because"
    ):
        only.run(1, Silent())


def test_other_bars_are_refused_on_resume(done, tmp_path):
    folder, search, _ = done
    about = json.loads((search.folder.path / "search.json").read_text())
    about["data"]["sha256"] = {"SIM": "other"}
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in search.folder.path.iterdir():
        (copy / path.name).write_text(path.read_text())
    (copy / "search.json").write_text(json.dumps(about))
    with pytest.raises(RunError, match=r"the bars must hash to .*other.*; begin a new search"):
        resume_search(find_search(tmp_path, "copy"), Store(folder / "store"), Silent())


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (
            "training.learnin_rate: {low: 0.001, high: 0.1}",
            r"space: training.learnin_rate: unknown key of the config; did you mean training.learning_rate",
        ),
        ("network.encoders.7.layers: {low: 1, high: 2}", "network.encoders.7.layers: unknown key"),
        (
            "training: {low: 1, high: 2}",
            "training: must name a single value, it names a dict; go on with dots",
        ),
        (
            "training.learning_rate: {low: 0.1, high: 0.001}",
            r"low must be below high, got low 0.1 and high 0.001, got .*; give \{low: 1, high: 3\}",
        ),
        ("training.learning_rate: {low: 0, high: 0.1, log: true}", r"low must be above 0 with log, got 0"),
        (
            "training.learning_rate: {low: 0.1, high: 2}",
            r"training.learning_rate: must be less than 1, got 2",
        ),
        (
            "training.epochs: {low: 1.5, high: 3}",
            r"must have whole ends as the config holds 2, got \[1.5, 3\]",
        ),
        ("training.schedule: {low: 1, high: 3}", r"a range is for numbers, the config holds 'one_cycle'"),
        ("training.schedule: {choices: [one_cycle, two]}", r"training.schedule: must be .*, got 'two'"),
        ("training.schedule: {choices: [one_cycle]}", "should have at least 2 items"),
        ("training.epochs: {low: 1, high: 3, step: 2}", "training.epochs.step: Extra inputs"),
        ("training.epochs: {low: 1, choices: [1, 2]}", "must have either low and high, or choices"),
        ("training.epochs: 3", r"must be \{low, high\} or \{choices\}, got 3"),
        ("split.train_share: {low: 0.5, high: 0.7}", "split.train_share would change or never touch"),
        ("strategy.confidence: {low: 0.5, high: 0.7}", "strategy.confidence would change or never touch"),
        ("training.quantile_weight: {low: 0.1, high: 1.0}", "or search with --objective val_qlike"),
        ("[1, 2]", r"must map keys of the config to \{low, high\} or \{choices\}, got \[1, 2\]"),
        ("a: [", "a search space must be YAML"),
    ],
)
def test_a_space_that_cannot_be_is_refused_before_any_training(space, said):
    with pytest.raises(ConfigError, match=said):
        parse_space(space, "space", CONFIG, "val_loss")


def test_weights_of_losses_may_be_searched_by_qlike_alone():
    space = parse_space("training.quantile_weight: {low: 0.1, high: 1.0}", "s", CONFIG, "val_qlike")
    assert yaml.safe_load("[0.1, 1.0]") == list(space["training.quantile_weight"].tried)


def test_a_search_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(RunError, match="holds no search; begin one with"):
        find_search(tmp_path, "last")
    with pytest.raises(RunError, match=r"must hold search.json, found none; give its id"):
        find_search(tmp_path, "x")
