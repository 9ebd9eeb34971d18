"""Runs on a user's own feature, on bands as scales, on funding and another symbol's market."""

import numpy as np
import polars as pl
import pytest
import yaml

import polyscale
from polyscale.config.run_config import parse_config
from polyscale.features.catalogue import CATALOGUE
from polyscale.features.context import Context
from polyscale.features.feature import Feature
from polyscale.market.errors import ConfigError, RunError
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from tests.pipeline.small import small

GAP = Feature("gap", (pl.col("open") / pl.col("close").shift(1)).log(), 2, "open against the last close")


def config(**data):
    raw = yaml.safe_load(small())
    raw["data"] |= data
    raw["network"]["encoders"] = [{"layers": 1, "heads": 2}] * len(raw["data"]["scales"])
    raw["training"]["epochs"] = 1
    return raw


def test_a_users_own_feature_is_trained_on_and_known_again(bars, tmp_path, monkeypatch):
    monkeypatch.setitem(CATALOGUE, "gap", GAP)
    run = polyscale.fit(
        parse_config(yaml.safe_dump(config(features=["gap", "rsi_simple"])), "x"), runs=tmp_path
    )
    loaded = polyscale.load_run(run.folder.path)
    np.testing.assert_array_equal(loaded.predict(bars).quantiles, run.predict(bars).quantiles)
    changed = Feature("gap", 2 * GAP.formula, 2, "another formula under the same name")
    monkeypatch.setitem(CATALOGUE, "gap", changed)
    with pytest.raises(RunError, match=r"other formulas of the features \['gap \(15m\)', 'gap \(1h\)'\]"):
        polyscale.load_run(run.folder.path)


def test_bands_of_a_wavelet_and_modes_feed_encoders_of_their_own(bars, tmp_path):
    scales = [
        {"timeframe": "15m", "lookback": 16},
        {"timeframe": "15m", "lookback": 16, "source": "wavelet", "wavelet": {"levels": 2}},
        {"timeframe": "15m", "lookback": 8, "source": "vmd", "vmd": {"window": 32, "modes": 2}},
        {"timeframe": "1h", "lookback": 8, "source": "wavelet", "bands": ["trend"]},
    ]
    run = polyscale.fit(parse_config(yaml.safe_dump(config(scales=scales)), "x"), runs=tmp_path)
    forecast = polyscale.load_run(run.folder.path).predict(bars)
    assert forecast.scales == ("15m", "15m db4", "15m vmd", "1h wavelet trend")
    np.testing.assert_allclose(forecast.scale_weights.sum(axis=1), 1, rtol=1e-5)


def test_funding_and_the_other_symbol_are_context_of_each(bars, tmp_path):
    raw = config(features=["scaled_return_1", "market_return_1", "funding_age"])
    raw["market"] = {"symbols": ["A", "B"], "funding": "assumed"}
    other = simulate_bars(SimulationSettings(days=40, timeframe=Timeframe(15), seed=9))
    settings = parse_config(yaml.safe_dump(raw), "x")
    with pytest.raises(ConfigError, match="needs the column funding_age"):
        polyscale.fit(settings, {"A": bars, "B": other}, runs=tmp_path)
    raw["data"]["features"] = ["scaled_return_1", "market_return_1"]
    run = polyscale.fit(parse_config(yaml.safe_dump(raw), "x"), {"A": bars, "B": other}, runs=tmp_path)
    assert len(run.predict(bars, context=Context(others={"B": other}))) > 100
    with pytest.raises(ConfigError, match="at least one other symbol"):
        run.predict(bars)
