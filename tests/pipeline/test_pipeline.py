import json

import numpy as np
import polars as pl
import pytest

import polyscale
from polyscale.audit import Plan, check
from polyscale.config.run_config import parse_config
from polyscale.market.errors import ConfigError, DataError, HistoryError, NotStoredError, RunError
from polyscale.market.simulate import simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.pipeline.job import begin, resume
from polyscale.pipeline.load import load_at_version
from polyscale.pipeline.reproduce import flatten, reproduce
from polyscale.pipeline.run import Silent, evaluate, load_run, start
from polyscale.pipeline.tell import runs_table, summary
from polyscale.runs.folder import State
from polyscale.scales.resample import resample
from polyscale.store.store import Store
from polyscale.strategy.decide import decide
from tests.pipeline.small import believed, small

CONFIG = parse_config(small(), "small")


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A complete run, its folder and outcomes."""
    root = tmp_path_factory.mktemp("runs")
    job = begin(CONFIG, Store(root / "store"), root, Silent())
    run = job.train(Silent())
    return run, evaluate(run, job.symbols, job.prepared, Silent()), root


@pytest.fixture(scope="module")
def sim_bars():
    return simulate_bars(CONFIG.market.simulation)


def test_a_run_leaves_all_that_it_promises(complete):
    run, _, _ = complete
    held = {str(path.relative_to(run.folder.path)) for path in run.folder.path.rglob("*") if path.is_file()}
    promised = (
        "run.json config.yaml model.json model.safetensors history.json metrics.json report.html split.json"
    )
    accounts = {f"{what}/SIM.parquet" for what in ("ledger", "holdings", "fills", "trades")}
    assert held == {*promised.split(), "forecasts/SIM.parquet", *accounts}
    assert run.folder.state is State.COMPLETE


def plan_of(bars, *kept):
    """Cuts after so many bars; a network in float32 gives no more than five digits."""
    cuts = tuple(bars["close_time"][number - 1] for number in kept)
    return Plan(whole_cuts=cuts, newest_cuts=0, truncations=0, locate=0, relative=1e-5)


def test_forecast_at_t_from_bars_up_to_t_is_that_of_the_whole_history(complete, sim_bars):
    """The whole chain, bars to position, by prefix and by poison."""
    run, _, _ = complete

    def chain(bars):
        forecast = run.predict(bars, in_sample=True)
        positions = decide(forecast, CONFIG.strategy, CONFIG.backtest.round_trip_cost)
        return forecast.to_frame().with_columns(position=pl.Series(positions.target))

    assert check(chain, sim_bars, plan=plan_of(sim_bars, 2_500, 3_072, 3_073, 3_839)).findings == ()


def test_the_chain_check_catches_a_peek(complete, sim_bars):
    """The check above can fail: a stage that looks one bar ahead is caught."""
    run, _, _ = complete

    def peeking(bars):
        shifted = bars.with_columns(pl.col("close").shift(-1).fill_null(strategy="forward"))
        high, low = pl.max_horizontal("high", "close"), pl.min_horizontal("low", "close")
        return run.predict(shifted.with_columns(high=high, low=low), in_sample=True).to_frame()

    assert not check(peeking, sim_bars, plan=plan_of(sim_bars, 3_000)).clean


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


@pytest.fixture(scope="module")
def of_program(tmp_path_factory, sim_bars):
    """A run fitted from Python on bars that were handed in."""
    folder = tmp_path_factory.mktemp("api")
    path = folder / "bars.parquet"
    sim_bars.rename({"close_time": "time"}).write_parquet(path)
    bars = polyscale.read_bars(path, "15m", label="close")
    market = CONFIG.market.model_copy(update={"source": "store", "simulation": None})
    run = polyscale.fit(CONFIG.model_copy(update={"market": market}), {"SIM": bars}, runs=folder)
    return believed(run), bars, folder


def test_the_api_forecasts_trades_and_judges_the_same_test(of_program):
    run, bars, _ = of_program
    forecast = polyscale.load_run(run.folder.path).predict(bars)
    outcome = polyscale.evaluate(run, {"SIM": bars})[0]
    result = polyscale.backtest(forecast, bars, "15m", run.config.strategy, run.config.backtest, funding=None)
    assert np.array_equal(forecast.close_time, outcome.forecast.close_time)
    assert result.equity_curve.equals(outcome.strategy.equity_curve)
    assert result.n_trades > 5


def test_a_program_run_cannot_be_reproduced_from_the_store(of_program, tmp_path):
    run, bars, _ = of_program
    polyscale.evaluate(run, {"SIM": bars})
    with pytest.raises(RunError, match="made from bars handed in by a program"):
        reproduce(run.folder, Store(tmp_path / "store"), Silent())


def test_forecasts_are_out_of_sample_unless_asked_for(of_program):
    run, bars, _ = of_program
    end = np.datetime64(run.boundaries.validate_end, "ms")
    assert run.predict(bars).close_time[0] > end
    assert run.predict(bars, in_sample=True).close_time[0] < end
    seen = bars.filter(pl.col("close_time").dt.epoch("ms") <= run.boundaries.validate_end)
    with pytest.raises(HistoryError, match=r"needs bars after .* give later bars, or in_sample=True"):
        run.predict(seen)


def test_training_rows_cannot_be_judged_as_a_test(of_program):
    run, bars, _ = of_program
    metrics = run.folder.path / "metrics.json"
    polyscale.evaluate(run, {"SIM": bars})
    before = metrics.read_text()
    seen = bars.filter(pl.col("close_time").dt.epoch("ms") <= run.boundaries.train_end)
    with pytest.raises(
        RunError, match="give the bars, native bars and funding that the run was trained from"
    ):
        polyscale.evaluate(run, {"SIM": seen})
    assert metrics.read_text() == before


def test_a_trained_run_is_taken_up_to_its_report(tmp_path):
    job = begin(CONFIG, Store(tmp_path / "store"), tmp_path / "runs", Silent())
    job.train(Silent())
    again = resume(job.folder, Store(tmp_path / "store"), Silent())
    evaluate(again.train(Silent()), again.symbols, again.prepared, Silent())
    assert (job.folder.path / "report.html").is_file()
    with pytest.raises(RunError, match="is complete; there is nothing to resume"):
        resume(job.folder, Store(tmp_path / "store"), Silent())


def test_a_config_that_was_changed_after_the_start_is_refused(tmp_path):
    job = begin(CONFIG, Store(tmp_path / "store"), tmp_path, Silent())
    path = job.folder.path / "config.yaml"
    path.write_text(path.read_text().replace("d_model: 8", "d_model: 16"))
    with pytest.raises(RunError, match="must be what the run was started with"):
        resume(job.folder, Store(tmp_path / "store"), Silent())


def test_stored_funding_that_does_not_cover_the_test_is_told_before_training(tmp_path, sim_bars):
    market = next(line for line in small().splitlines() if line.startswith("market:"))
    config = parse_config(small().replace(market, "market: {symbols: [SIM]}"), "x")
    store, where = Store(tmp_path / "store"), config.market.markets()[0]
    store.write_bars(where, config.data.base, sim_bars)
    stamps = sim_bars.filter(pl.col("close_time").dt.epoch("ms") % 28_800_000 == 0).head(60)
    store.write_funding(where, stamps.select(time="close_time", funding_rate=pl.lit(1e-4)))
    with pytest.raises(
        DataError, match=r"SIM: funding must have a stamp .* or set market.funding to assumed"
    ):
        begin(config, store, tmp_path / "runs", Silent())
    assert not (tmp_path / "runs").exists()


def test_runs_shows_a_damaged_run_beside_the_others(complete):
    run, _, root = complete
    damaged = root / "damaged"
    damaged.mkdir()
    (damaged / "run.json").write_text("{")
    states = {row["run"]: row["state"] for row in runs_table(root)}
    assert states == {run.folder.name: "complete", "damaged": "damaged"}


def test_the_coarse_scales_of_a_run_can_have_native_history(tmp_path):
    """Native bars lengthen the daily scale: fitted, forecast and reproduced through the store."""
    whole = simulate_bars(CONFIG.market.simulation.model_copy(update={"days": 120}))
    base = Timeframe(15)
    native = resample(whole, base, Timeframe(1_440)).drop("coverage", "filled")
    late = whole.tail(40 * 96)
    lines = small().splitlines()
    text = (
        small()
        .replace(lines[2], "market: {symbols: [SIM]}")
        .replace("{timeframe: 1h, lookback: 8}", "{timeframe: 1d, lookback: 8, native_history: true}")
    )
    config = parse_config(text, "x")
    store, market = Store(tmp_path / "store"), config.market.markets()[0]
    store.write_bars(market, base, late)
    store.write_bars(market, Timeframe(1_440), native)
    job = begin(config, store, tmp_path / "runs", Silent())
    assert job.prepared.panels[0].warm[1].sum() == 70
    run = job.train(Silent())
    evaluate(run, job.symbols, job.prepared, Silent())
    assert reproduce(run.folder, store, Silent()).same
    with pytest.raises(ConfigError, match="scale 1d has native_history"):
        run.predict(late)
    assert len(run.predict(late, {Timeframe(1_440): native})) > 100


def test_bars_of_another_symbol_are_refused(sim_bars):
    with pytest.raises(ConfigError, match=r"config's symbols \['SIM'\], got \['X'\]"):
        polyscale.fit(CONFIG, {"X": sim_bars})


def test_a_symbol_that_the_store_does_not_hold_is_named(tmp_path):
    config = parse_config(small().replace(small().splitlines()[2], "market: {symbols: [BTCUSDT]}"), "x")
    with pytest.raises(NotStoredError, match="BTCUSDT"):
        load_at_version(config, Store(tmp_path / "store"))


def test_too_short_a_history_says_bars_needed_and_found(tmp_path):
    config = parse_config(small(days=9), "x")
    with pytest.raises(HistoryError, match=r"needs about 1,264 bars of 15m .* found 864"):
        begin(config, Store(tmp_path / "store"), tmp_path, Silent())
    assert list(tmp_path.iterdir()) == []  # nothing is begun that cannot be trained


def test_flatten_names_every_figure():
    assert flatten({"a": [1, {"b": None}], "c": 2}) == {"a[0]": 1, "a[1].b": None, "c": 2}


def test_the_package_tells_what_it_has():
    assert set(polyscale.__all__) <= set(dir(polyscale))
    assert all(hasattr(polyscale, name) for name in polyscale.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        polyscale.nope  # noqa: B018
