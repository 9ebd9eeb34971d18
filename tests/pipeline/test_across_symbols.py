"""A run whose network attends across symbols: forecasts from every door, and under audit."""

from dataclasses import replace
from datetime import UTC

import numpy as np
import polars as pl
import pytest
import yaml

import polyscale
from polyscale.config.run_config import parse_config
from polyscale.features.context import Context
from polyscale.market.errors import ConfigError
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.pipeline import chain as chain_file
from polyscale.pipeline.audit import Depth, audit_run
from polyscale.pipeline.learn import panels_beside, prepare
from polyscale.pipeline.load import SymbolBars, context_of, given_symbols
from polyscale.pipeline.run import Silent, again, evaluate, start, trade_again, train
from polyscale.scales.resample import resample
from tests.pipeline.small import small


def config(*symbols):
    raw = yaml.safe_load(small())
    raw["market"] = {"symbols": list(symbols), "funding": "assumed"}
    raw["data"]["features"] = ["scaled_return_1", "relative_move"]
    raw["network"]["across_symbols"] = True
    raw["training"] = {"epochs": 1, "stretch": 128, "learning_rate": 0.02}
    return parse_config(yaml.safe_dump(raw), "small")


@pytest.fixture(scope="module")
def two(bars):
    """A is traded all the time; B begins later, has a hole in the test, and ends earlier."""
    other = simulate_bars(SimulationSettings(days=40, timeframe=Timeframe(15), seed=9))
    return {"A": bars, "B": pl.concat([other.slice(300, 3_200), other.slice(3_502, 250)])}


@pytest.fixture(scope="module")
def trained(two, tmp_path_factory):
    run = polyscale.fit(config("A", "B"), two, runs=tmp_path_factory.mktemp("runs"))
    return polyscale.load_run(run.folder.path)


def test_a_run_predicts_what_it_was_judged_by_and_hears_the_other_symbol(trained, two):
    symbols = given_symbols(two, trained.config)
    judged = evaluate(trained, symbols, again(trained, symbols), Silent())
    assert [outcome.symbol for outcome in judged] == ["A", "B"]
    trade_again(trained, symbols)
    for own, other, outcome in (("A", "B", judged[0]), ("B", "A", judged[1])):
        forecast = trained.predict(two[own], context=Context(others={other: two[other]}))
        found = forecast.at(np.isin(forecast.close_time, outcome.forecast.close_time))
        np.testing.assert_allclose(found.quantiles, outcome.forecast.quantiles, rtol=1e-4, atol=1e-8)
    late = two["B"]["close_time"][-400]
    silent = trained.predict(
        two["A"], context=Context(others={"B": two["B"].filter(pl.col("close_time") < late)})
    )
    heard = trained.predict(two["A"], context=Context(others={"B": two["B"]}))
    moved = (silent.quantiles != heard.quantiles).any(axis=(1, 2))
    then = silent.close_time >= np.datetime64(late.replace(tzinfo=None), "ms")
    np.testing.assert_allclose(silent.quantiles[~then], heard.quantiles[~then], rtol=1e-4, atol=1e-8)
    assert moved[then].sum() > 300


def test_a_forecast_without_the_other_symbols_is_refused(trained, two):
    for others in ({}, {"C": two["B"]}, {"A": two["A"], "B": two["B"]}):
        with pytest.raises(
            ConfigError,
            match=r"network.across_symbols: a forecast of one of .* must be given .*; give context=",
        ):
            trained.predict(two["A"], context=Context(others=others))
    with pytest.raises(ConfigError, match=r"got those of \[\]"):
        trained.predict(two["A"])


def test_such_a_run_is_not_exported_for_a_graph_knows_one_symbol(trained, tmp_path):
    with pytest.raises(ConfigError, match=r"network.across_symbols must be false to export, got true"):
        trained.export(tmp_path)
    assert not list(tmp_path.iterdir())


def test_such_a_run_is_explained_with_the_other_symbol_beside(trained, two):
    found = polyscale.explain_run(trained, two, feature_origins=1)
    assert [each.symbol for each in found] == ["A", "B"]
    forecast = trained.predict(two["B"], context=Context(others={"A": two["A"]}))
    times = [forecast.close_time[row].astype(object).replace(tzinfo=UTC) for row in (7, 3)]
    maps = polyscale.attention_maps(trained, times, two, symbol="B")
    volatility = np.exp(0.5 * maps.output.log_variance[:, 0].numpy()) * np.sqrt([4, 16])
    np.testing.assert_allclose(volatility, forecast.volatility[[7, 3]], rtol=1e-4)
    np.testing.assert_allclose(maps.output.scale_weights[:, 0], forecast.scale_weights[[7, 3]], atol=1e-5)
    assert [layers[0].rows.shape[0] for layers in maps.encoders] == [2, 2]


def test_one_symbol_attends_to_itself(bars, tmp_path):
    run = polyscale.fit(config("A"), {"A": bars}, runs=tmp_path)
    assert len(run.predict(bars)) > 100


def test_the_others_native_bars_and_funding_are_read_and_audited(two, tmp_path):
    raw = config("A", "B").model_dump(mode="json", exclude_none=True)
    raw["data"]["scales"][1] = {"timeframe": "1d", "lookback": 3, "native_history": True}
    raw["data"]["features"] = ["scaled_return_1", "funding_age"]
    settings = parse_config(yaml.safe_dump(raw), "x")
    day = Timeframe(1_440)
    symbols = [
        SymbolBars(
            market,
            two[market.symbol],
            {day: resample(two[market.symbol], Timeframe(15), day).drop("coverage", "filled")},
            two[market.symbol].gather_every(32).select(time="close_time", funding_rate=pl.lit(1e-4)),
        )
        for market in settings.market.markets()
    ]
    prepared = prepare(settings, symbols)
    folder = start(settings, symbols, None, tmp_path)
    run = train(folder, settings, prepared, Silent())
    own, _ = symbols
    whole = context_of(own, symbols)
    assert len(run.predict(own.bars, own.native, whole)) > 100
    with pytest.raises(ConfigError, match="scale 1d has native_history"):
        run.predict(own.bars, own.native, replace(whole, others_native={}))
    with pytest.raises(ConfigError, match="needs the column funding_age"):
        run.predict(own.bars, own.native, replace(whole, others_funding={}))
    assert {"B", "B funding", "B native_1d"} <= set(chain_file.Chain(run, own, symbols).sources)
    found = audit_run(run, symbols, Silent(), 6, Depth.NEWEST)
    assert found.clean, str(found)


def test_such_a_run_is_clean_under_audit(trained, two):
    found = audit_run(trained, given_symbols(two, trained.config), Silent(), 12)
    assert found.clean, str(found)
    asked = {scope.of for scope in found.tests if scope.rows}
    assert {"A: bars to forecasts", "B: bars to forecasts", "A: forecasts to positions"} <= asked


def test_another_symbols_future_is_caught(trained, two, monkeypatch):
    def ahead(*given):
        return [replace(panel, time_ms=panel.time_ms - 900_000) for panel in panels_beside(*given)]

    monkeypatch.setattr(chain_file, "panels_beside", ahead)
    found = audit_run(trained, given_symbols(two, trained.config), Silent(), 6, Depth.NEWEST)
    leak = next(finding for finding in found.findings if finding.column.startswith("forecast "))
    assert leak.source.split(".")[0] in {"A", "B"}
