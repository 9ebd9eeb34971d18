import json

import numpy as np
import polars as pl
import pytest

import polyscale
from polyscale.audit import check
from polyscale.config.run_config import parse_config
from polyscale.market.errors import ConfigError, HistoryError, NotStoredError, RunError
from polyscale.market.simulate import simulate_bars
from polyscale.pipeline.load import load_at_version
from polyscale.pipeline.reproduce import flatten, reproduce
from polyscale.pipeline.run import Silent, evaluate, load_run, start, train
from polyscale.pipeline.tell import runs_table, summary
from polyscale.runs.folder import State
from polyscale.store.store import Store
from polyscale.strategy.signal import decide
from tests.pipeline.small import small

CONFIG = parse_config(small(), "small")


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A complete run, its folder and outcomes."""
    root = tmp_path_factory.mktemp("runs")
    symbols, version = load_at_version(CONFIG, Store(root / "store"))
    folder = start(CONFIG, symbols, version, root)
    run, prepared = train(folder, CONFIG, symbols, Silent())
    return run, evaluate(run, symbols, prepared, Silent()), root


@pytest.fixture(scope="module")
def sim_bars():
    return simulate_bars(CONFIG.market.simulation)


def test_a_run_leaves_all_that_it_promises(complete):
    run, _, _ = complete
    held = {str(path.relative_to(run.folder.path)) for path in run.folder.path.rglob("*") if path.is_file()}
    promised = (
        "run.json config.yaml model.json model.safetensors history.json metrics.json report.html split.json"
    )
    assert held == {*promised.split(), "forecasts/SIM.parquet", "ledger/SIM.parquet"}
    assert run.folder.state is State.COMPLETE


def test_forecast_at_t_from_bars_up_to_t_is_that_of_the_whole_history(complete, sim_bars):
    """The whole chain, bars to position, by prefix and by poison."""
    run, _, _ = complete

    def chain(bars):
        forecast = run.predict(bars)
        positions = decide(forecast, CONFIG.strategy, CONFIG.backtest.round_trip_cost)
        return forecast.to_frame().with_columns(position=pl.Series(positions.target))

    assert check(chain, sim_bars, cuts=[2_500, 3_072, 3_073, 3_839], relative=1e-5) == []


def test_the_chain_check_catches_a_peek(complete, sim_bars):
    """The check above can fail: a stage that looks one bar ahead is caught."""
    run, _, _ = complete

    def peeking(bars):
        shifted = bars.with_columns(pl.col("close").shift(-1).fill_null(strategy="forward"))
        high, low = pl.max_horizontal("high", "close"), pl.min_horizontal("low", "close")
        return run.predict(shifted.with_columns(high=high, low=low)).to_frame()

    assert check(peeking, sim_bars, cuts=[3_000], relative=1e-5)


def test_reproduce_gives_the_same_numbers_to_the_last_digit(complete):
    run, _, root = complete
    outcome = reproduce(run.folder, Store(root / "store"), Silent())
    assert outcome.same
    assert outcome.num_figures > 100


def test_reproduce_tells_what_differs(complete, tmp_path):
    run, _, root = complete
    metrics = run.folder.read_text("metrics.json")
    changed = json.loads(metrics)
    changed["SIM"]["strategy"]["n_trades"] += 1
    run.folder.write_json("metrics.json", changed)
    outcome = reproduce(run.folder, Store(root / "store"), Silent())
    run.folder.write_text("metrics.json", metrics)
    assert [name for name, _, _ in outcome.differences] == ["SIM.strategy.n_trades"]


def test_the_summary_holds_qlike_per_horizon_and_paths_that_exist(complete):
    run, outcomes, _ = complete
    told = json.loads(json.dumps(summary(run.folder, outcomes), allow_nan=False))
    assert set(told["horizons"]) == {"1h", "4h"}
    for row in told["horizons"].values():
        assert set(row) == {"network", "base", "log-HAR", "last value"}
        assert all(value > 0 for value in row.values())
    assert told["report"].endswith("report.html")


def test_a_loaded_run_predicts_what_the_trained_one_did(complete, sim_bars):
    run, outcomes, _ = complete
    again = load_run(run.folder.path).predict(sim_bars)
    last = outcomes[0].forecast.quantiles[-1]
    np.testing.assert_allclose(again.quantiles[-1], last, rtol=1e-5, atol=1e-8)


def test_runs_stand_side_by_side(complete):
    _, _, root = complete
    rows = runs_table(root)
    assert rows[0]["state"] == "complete"
    assert rows[0]["net/base 1h"] > 0


def test_an_unfinished_run_says_how_to_go_on(tmp_path):
    symbols, version = load_at_version(CONFIG, Store(tmp_path / "store"))
    folder = start(CONFIG, symbols, version, tmp_path)
    with pytest.raises(
        RunError, match=r"its training has not ended; finish it with `polyscale train --resume"
    ):
        load_run(folder.path)
    with pytest.raises(RunError, match="must be complete to be reproduced, it is 'training'"):
        reproduce(folder, Store(tmp_path / "store"), Silent())


def test_the_api_in_ten_lines(tmp_path, sim_bars):
    path = tmp_path / "bars.parquet"
    sim_bars.rename({"close_time": "time"}).write_parquet(path)
    bars = polyscale.read_bars(path, "15m", label="close")
    assert bars.equals(sim_bars)
    config = CONFIG.model_copy(
        update={"market": CONFIG.market.model_copy(update={"source": "store", "simulation": None})}
    )
    run = polyscale.fit(config, {"SIM": bars}, runs=tmp_path)
    forecast = polyscale.load_run(run.folder.path).predict(bars)
    result = polyscale.backtest(forecast, bars, "15m", config.strategy, config.backtest, funding=None)
    outcome = polyscale.evaluate(run, {"SIM": bars})[0]
    assert result.n_trades >= 0
    assert outcome.scorecard.horizons[0].num_origins > 0
    with pytest.raises(RunError, match="made from bars handed in by a program"):
        reproduce(run.folder, Store(tmp_path / "store"), Silent())


def test_bars_of_another_symbol_are_refused(sim_bars):
    with pytest.raises(ConfigError, match=r"config's symbols \['SIM'\], got \['X'\]"):
        polyscale.fit(CONFIG, {"X": sim_bars})


def test_a_symbol_that_the_store_does_not_hold_is_named(tmp_path):
    config = parse_config(small().replace(small().splitlines()[2], "market: {symbols: [BTCUSDT]}"), "x")
    with pytest.raises(NotStoredError, match="BTCUSDT"):
        load_at_version(config, Store(tmp_path / "store"))


def test_too_short_a_history_says_bars_needed_and_found(tmp_path):
    config = parse_config(small(days=9), "x")
    symbols, version = load_at_version(config, Store(tmp_path / "store"))
    folder = start(config, symbols, version, tmp_path)
    with pytest.raises(HistoryError, match=r"needs about 1,264 bars of 15m .* found 864"):
        train(folder, config, symbols, Silent())


def test_flatten_names_every_figure():
    assert flatten({"a": [1, {"b": None}], "c": 2}) == {"a[0]": 1, "a[1].b": None, "c": 2}


def test_the_package_tells_what_it_has():
    assert set(polyscale.__all__) <= set(dir(polyscale))
    assert all(hasattr(polyscale, name) for name in polyscale.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        polyscale.nope  # noqa: B018
