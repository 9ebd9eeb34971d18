"""What cannot be evaluated is refused before anything is fitted, in words of walk_forward."""

import importlib.util
from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest

from polyscale.dataset.folds import folds
from polyscale.evaluation.baselines import registry
from polyscale.evaluation.baselines.registry import BASELINES, baselines_named
from polyscale.market.bars import Market
from polyscale.market.errors import ConfigError, HistoryError
from polyscale.market.instant import time_of
from polyscale.pipeline.load import load_symbols
from polyscale.pipeline.run import Silent
from polyscale.pipeline.walk import check, evaluate, spread
from polyscale.pipeline.walk.check import check_folds
from polyscale.pipeline.walk.evaluate import begin
from polyscale.pipeline.walk.plan import cohorts
from polyscale.pipeline.walk.spread import Backend
from polyscale.pipeline.walk.task import prepared_for
from polyscale.store.store import Store
from tests.pipeline.walk_market import SIMPLE, walk_config


@pytest.fixture(scope="module")
def symbols():
    """Two symbols from 2025-01-01 to 2025-02-20."""
    return load_symbols(walk_config(), Store("nowhere"))


def from_day(item, day):
    """A symbol that starts late."""
    return replace(item, bars=item.bars.filter(pl.col("close_time").dt.date() >= date.fromisoformat(day)))


def begun(tmp_path, config, **how):
    how = {"baselines": SIMPLE, **how}
    return begin(config, Store(tmp_path / "store"), tmp_path / "evaluations", Silent(), **how)


def test_a_test_beyond_the_bars_is_refused_before_anything_is_kept(tmp_path):
    config = walk_config(last="2025-02-25")
    with pytest.raises(
        HistoryError,
        match=r"walk_forward, fold 2025-02-22, cohort all: its test, 2025-02-22 00:00 to 2025-02-26 00:00, "
        r"needs at least 1 bar of a tested symbol, found 0; there are bars of "
        r"AAA 2025-01-01 00:15 .. 2025-02-20 00:00; BBB .*; set walk_forward.first and walk_forward.last",
    ):
        begun(tmp_path, config)
    assert not (tmp_path / "evaluations").exists()


def test_a_last_test_that_is_cut_short_is_told(tmp_path, caplog, symbols):
    check_folds(walk_config(last="2025-02-21"), symbols)
    assert "walk_forward.last ends at 2025-02-22 00:00, the bars at 2025-02-20 00:00" in caplog.text
    caplog.clear()
    check_folds(walk_config(), symbols)
    assert not caplog.text


@pytest.mark.parametrize(("first", "found"), [("2025-01-03", 0), ("2025-01-20", r"\d+")])
def test_a_first_fold_without_history_is_refused_in_words_of_walk_forward(tmp_path, first, found):
    with pytest.raises(
        HistoryError,
        match=rf"walk_forward, fold {first}, cohort all: training until .* needs >= 500 origins with labels, "
        rf"found {found}; there are bars of AAA 2025-01-01 .*a first forecast takes about 13 days of them; "
        "set walk_forward.first later",
    ):
        begun(tmp_path, walk_config(first=first))
    assert not (tmp_path / "evaluations").exists()


def test_a_symbol_that_starts_late_is_named_when_each_is_alone(tmp_path, monkeypatch, symbols):
    late = [symbols[0], from_day(symbols[1], "2025-01-15")]
    monkeypatch.setattr(evaluate, "load_at_version", lambda *_: (late, None))
    with pytest.raises(HistoryError, match=r"fold 2025-02-01, cohort BBB: .*bars of BBB 2025-01-15 00:00"):
        begun(tmp_path, walk_config(pooled=False))
    check_folds(walk_config(), late)  # together the other teaches


def test_what_is_refused_is_what_could_not_be_fitted(symbols):
    """Day by day of a late start, against the origins of the panels."""
    config, refused = walk_config(pooled=False), []
    fold, cohort = folds(config.walk_forward)[0], cohorts(config.walk_forward, symbols)[1]
    for day in range(5, 13):
        late = [symbols[0], from_day(symbols[1], f"2025-01-{day:02}")]
        try:
            check_folds(config, late)
            refused.append(False)
        except HistoryError:
            refused.append(True)
        try:
            enough = prepared_for(config, late, fold, cohort).splits[0].train.sum() >= 500
        except HistoryError:
            enough = False
        assert refused[-1] == (not enough), day
    assert set(refused) == {True, False}


def test_plenty_of_bars_are_counted_without_a_panel(monkeypatch, symbols):
    config = walk_config()
    settings = config.market.simulation.model_copy(update={"days": 90})
    config = config.model_copy(update={"market": config.market.model_copy(update={"simulation": settings})})
    later = config.walk_forward.model_copy(update={"first": date(2025, 3, 10), "last": date(2025, 3, 20)})
    config = config.model_copy(update={"walk_forward": later})
    monkeypatch.setattr(check, "panels_of", lambda *_: pytest.fail("a panel was computed"))
    check_folds(config, load_symbols(config, Store("nowhere")))


def test_validation_needs_one_who_is_tested_and_not_left_out(symbols):
    """Lessons do not validate: leave out the only other, and nobody does."""
    lesson = replace(symbols[1], market=Market("other", "spot", "CCC"), lesson=True)
    with pytest.raises(HistoryError, match=r"cohort without-AAA: validation.*found 0; it is done on nobody"):
        check_folds(walk_config(leave_out=("AAA",)), [symbols[0], lesson])


def test_a_symbol_without_any_forecast_is_named(symbols):
    end = symbols[1].bars["close_time"].max()
    short = replace(symbols[1], bars=symbols[1].bars.filter(pl.col("close_time") > end - timedelta(days=3)))
    with pytest.raises(HistoryError, match="BBB: a first forecast needs about"):
        check_folds(walk_config(), [symbols[0], short])


def test_a_hole_in_the_tested_days_is_refused(symbols):
    fold = folds(walk_config().walk_forward)[1]
    holed = [
        replace(
            item,
            bars=item.bars.filter(
                ~pl.col("close_time").is_between(
                    time_of(fold.ends.validate_end), time_of(fold.ends.test_end), closed="right"
                )
            ),
        )
        for item in symbols
    ]
    with pytest.raises(HistoryError, match="fold 2025-02-08, cohort all: its test"):
        check_folds(walk_config(), holed)


def missing(monkeypatch, module, name):
    def find(package):
        return None if package == name else importlib.util.find_spec(package)

    monkeypatch.setattr(module, "find_spec", find)


def test_a_baseline_whose_package_is_missing_is_refused_at_once(tmp_path, monkeypatch):
    missing(monkeypatch, registry, "lightgbm")
    with pytest.raises(
        ConfigError,
        match=r"baseline LightGBM needs the package lightgbm, which is not installed; pip install "
        r"'polyscale\[lightgbm\]', or name the baselines without it: \['last value', 'EWMA'",
    ):
        begun(tmp_path, walk_config(), baselines=None)
    assert not (tmp_path / "evaluations").exists()
    assert begun(tmp_path, walk_config()).read_json("plan.json")["baselines"] == list(SIMPLE)


def test_ray_that_is_missing_is_refused_at_once(tmp_path, monkeypatch):
    missing(monkeypatch, spread, "ray")
    with pytest.raises(ConfigError, match=r"--backend ray needs the package ray.*'polyscale\[ray\]'"):
        begun(tmp_path, walk_config(), backend=Backend.RAY)
    assert not (tmp_path / "evaluations").exists()
    with pytest.raises(ConfigError, match="--backend ray needs the package ray"):
        next(spread.spread(abs, [1], 1, Backend.RAY))


def test_baselines_are_named_whatever_their_capitals(tmp_path):
    assert baselines_named(["LIGHTGBM", "Log-Har", "lightgbm"]) == ("LightGBM", "log-HAR")
    assert baselines_named([name.upper() for name in BASELINES]) == tuple(BASELINES)
    folder = begun(tmp_path, walk_config(), baselines=("Base", "RIDGE"))
    assert folder.read_json("plan.json")["baselines"] == ["base", "ridge"]
    with pytest.raises(ConfigError, match=r"must be out of .*'log-HAR'.*, got \['oracle'\]"):
        baselines_named(["base", "oracle"])
