import shutil

import numpy as np
import polars as pl
import pytest
import torch

import polyscale
from polyscale.config.run_config import parse_config
from polyscale.evaluation.baselines.registry import ALWAYS
from polyscale.market.errors import ConfigError
from polyscale.market.forecast import Forecast
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.pipeline.load import load_symbols
from polyscale.pipeline.run import Silent
from polyscale.pipeline.walk.ablations import ablations
from polyscale.pipeline.walk.evaluate import begin, evaluate_walk
from polyscale.pipeline.walk.plan import FULL, cohorts, plan
from polyscale.pipeline.walk.publish import walk_page
from polyscale.pipeline.walk.task import Work, prepared_for
from polyscale.runs.folder import State
from polyscale.store.store import Store
from tests.pipeline.walk_market import SIMPLE, run_walk, walk_config


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    return run_walk(tmp_path_factory.mktemp("walk"), walk_config())


def test_every_symbol_is_judged_beside_every_baseline(walked):
    folder, found = walked
    assert folder.state is State.COMPLETE
    assert set(found["symbols"]) == {"AAA", "BBB"}
    for each in found["symbols"].values():
        assert each["first"] == "2025-02-01T01:00:00.000"
        assert each["last"] == "2025-02-15T00:00:00.000"
        for row in each["standings"]:
            assert set(row["models"]) == {"network", *SIMPLE, "log-HAR"}
            assert row["num_origins"] >= 14 * 24 - 4
        assert each["tail_risk"][0]["num_origins"] == 14 * 24
    mean = np.mean([s["standings"][1]["models"]["base"]["qlike"]["ratio"] for s in found["symbols"].values()])
    assert found["averages"][1]["base"]["qlike_ratio"] == pytest.approx(mean)
    assert len(found["claims"]) == 2 * 2 * 2
    assert folder.read_json("evaluation.json")["averages"] == found["averages"]
    assert folder.read_text("report.html") == walk_page(folder)
    assert "2 folds, 2 seeds" in folder.read_text("report.html")
    assert found["seconds"]["network"] > 0


def test_from_python_it_is_the_same(walked, tmp_path):
    walk = polyscale.walk_forward(
        walk_config(), tmp_path / "store", baselines=SIMPLE, evaluations=tmp_path / "evaluations"
    )
    assert {**walk.results, "seconds": 0} == {**walked[1], "seconds": 0}
    assert (walk.folder / "report.html").is_file()


def test_what_was_cut_off_goes_on_and_comes_to_the_same(walked, tmp_path):
    folder, found = walked
    copy = tmp_path / folder.path.name
    shutil.copytree(folder.path, copy)
    gone = [
        *copy.glob("tasks/network/full/2025-02-08/all/seed-2"),
        *copy.glob("tasks/baseline/ridge/*/all/*"),
    ]
    assert len(gone) == 3
    for place in gone:
        shutil.rmtree(place)
    kept = copy / "tasks/network/full/2025-02-01/all/seed-1/task.json"
    before = kept.stat().st_mtime_ns
    again = evaluate_walk(type(folder)(copy), Store(tmp_path / "store"), Silent(), 1)
    assert kept.stat().st_mtime_ns == before
    assert {**again, "seconds": 0} == {**found, "seconds": 0}


def test_two_processes_give_the_same_numbers(walked, tmp_path):
    _, found = run_walk(tmp_path, walk_config(), jobs=2)
    assert {**found, "seconds": 0} == {**walked[1], "seconds": 0}


def test_a_fold_knows_nothing_of_what_follows_its_test():
    config = walk_config(seeds=1)
    symbols = load_symbols(config, Store("nowhere"))
    task = plan(config.walk_forward, symbols, 1, (), ())[0]
    whole = Work({FULL: config}, symbols)(task)
    end = pl.lit(task.fold.ends.test_end).cast(pl.Datetime("ms", "UTC"))
    cut = [type(s)(s.market, s.bars.filter(pl.col("close_time") <= end)) for s in symbols]
    short = Work({FULL: config}, cut)(task)
    for symbol, forecast in whole.forecasts.items():
        assert isinstance(forecast, Forecast)
        np.testing.assert_array_equal(forecast.close_time, short.forecasts[symbol].close_time)
        np.testing.assert_allclose(forecast.quantiles, short.forecasts[symbol].quantiles, rtol=1e-6)


def test_cohorts_all_together_each_alone_and_one_left_out_on_every_venue():
    text = walk_config().to_yaml()
    config = parse_config(text, "t")
    symbols = load_symbols(config, Store("nowhere"))
    lesson = type(symbols[0])(type(symbols[0].market)("binance", "spot", "BBB"), symbols[1].bars, lesson=True)
    every = [*symbols, lesson]

    def of(**walk):
        return [(c.name, c.learned, c.tested) for c in cohorts(walk_config(**walk).walk_forward, every)]

    assert of() == [("all", (0, 1, 2), (0, 1))]
    assert of(pooled=False) == [("AAA", (0,), (0,)), ("BBB", (1, 2), (1,))]
    assert of(leave_out=("BBB",)) == [("without-BBB", (0,), (1,))]


def test_a_symbol_left_out_is_forecast_and_teaches_nothing(tmp_path):
    config = walk_config(leave_out=("BBB",), seeds=1, refit="never")
    _, found = run_walk(tmp_path, config, baselines=("base", "ridge"))
    assert list(found["symbols"]) == ["BBB"]
    assert found["symbols"]["BBB"]["standings"][0]["num_origins"] >= 14 * 24 - 4
    symbols = load_symbols(config, Store("nowhere"))
    (task,) = plan(config.walk_forward, symbols, 1, (), ())
    parts = prepared_for(config, symbols, task.fold, task.cohort).splits
    assert [part.train.any() for part in parts] == [True, False]
    assert [part.validate.any() for part in parts] == [True, False]
    assert parts[1].test.any()
    other = type(symbols[1])(
        symbols[1].market, simulate_bars(SimulationSettings(days=50, timeframe=Timeframe(15), seed=99))
    )
    ours, theirs = (
        Work({FULL: config}, given)(task).model.network.state_dict()
        for given in (symbols, [symbols[0], other])
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_claims_must_beat_base_log_har_and_last_value_whatever_was_asked(tmp_path):
    _, found = run_walk(tmp_path, walk_config(seeds=1, refit="never"), baselines=("ridge",))
    for each in found["symbols"].values():
        for row in each["scorecard"]["horizons"]:
            assert {b["name"] for b in row["volatility"]["baselines"]} == set(ALWAYS)
        for row in each["standings"]:
            assert set(row["models"]) == {"network", "ridge", *ALWAYS}


def test_ablations_take_away_what_they_say(tmp_path):
    config = walk_config(seeds=1, refit="never")
    found = ablations(config)
    assert list(found) == [
        "without scale 1h",
        "without attention across scales",
        "without the gate",
        "without the base forecast",
        "horizon 1h alone",
        "horizon 4h alone",
    ]
    assert [s.name for s in found["without scale 1h"].data.scales] == ["15m"]
    _, told = run_walk(tmp_path, config, baselines=("base",), ablate=True)
    assert set(told["ablations"]) == set(found)
    assert told["ablations"]["horizon 4h alone"][0] is None
    for name in list(found)[:4]:
        assert all(ratio > 0 for ratio in told["ablations"][name])


def test_what_cannot_be_evaluated_is_refused(tmp_path):
    config = walk_config()
    store = Store(tmp_path / "store")
    with pytest.raises(ConfigError, match="walk_forward"):
        begin(config.model_copy(update={"walk_forward": None}), store, tmp_path, Silent())
    with pytest.raises(ConfigError, match="baselines must be out of"):
        begin(config, store, tmp_path, Silent(), ("oracle",))
    with pytest.raises(ConfigError, match=r"walk_forward.leave_out must be of market.symbols"):
        config.with_walk(leave_out=("CCC",))
