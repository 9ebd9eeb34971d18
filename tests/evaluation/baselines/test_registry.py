from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from polyscale.evaluation.baselines import lstm, transformer
from polyscale.evaluation.baselines.registry import BASELINES
from polyscale.model.settings import EncoderSettings, NetworkSettings
from tests.evaluation.baselines.market import bars_of, rows_of, small_rows


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    network = NetworkSettings(d_model=8, cross_heads=2, encoders=(EncoderSettings(heads=2, layers=1),))
    monkeypatch.setattr(transformer, "_NETWORK", network)
    monkeypatch.setattr(transformer, "_EPOCHS", (1, 1))
    monkeypatch.setattr(lstm, "_EPOCHS", (1, 1))
    monkeypatch.setattr(lstm, "_CONTEXT", 24)


def test_the_names_are_those_of_the_design():
    assert list(BASELINES) == [
        *("last value", "EWMA", "log-HAR", "base", "ridge", "LightGBM", "LSTM", "transformer (one scale)")
    ]


@pytest.mark.parametrize("name", BASELINES)
def test_a_forecast_for_every_wanted_origin_and_horizon(name):
    rows = small_rows()
    for forecast, wanted in zip(BASELINES[name](rows), rows.wanted, strict=True):
        assert forecast.shape == (wanted.sum(), 2)
        assert np.isfinite(forecast).all()


@pytest.mark.parametrize("name", BASELINES)
def test_it_does_not_know_its_future(name):
    """Bars after t are wrecked, t in the test: forecasts up to t stay as they are, to the bit."""
    frames = [bars_of(3), bars_of(4)]
    rows = rows_of(frames)
    cut = int(np.flatnonzero(rows.wanted[0])[200])
    wrecked = [_wreck(frame, cut) for frame in frames]
    # the masks are given, as the walk-forward gives them: what is wrecked lies behind all labels learned
    again = replace(rows_of(wrecked), train=rows.train, validate=rows.validate, wanted=rows.wanted)
    for i, (a, b) in enumerate(zip(BASELINES[name](rows), BASELINES[name](again), strict=True)):
        before = np.flatnonzero(rows.wanted[i]) <= cut
        np.testing.assert_array_equal(a[before], b[before])
        assert not np.array_equal(a[~before], b[~before], equal_nan=True)


@pytest.mark.parametrize("name", BASELINES)
def test_origins_that_cannot_be_used_have_no_forecast_and_do_no_harm(name):
    """All origins are wanted, from the first bar on: before the base forecast begins, nothing is said."""
    rows = small_rows()
    everywhere = replace(rows, wanted=[np.ones_like(mask) for mask in rows.wanted])
    got = BASELINES[name](everywhere)
    for panel, forecast, usual, wanted in zip(
        rows.panels, got, BASELINES[name](rows), rows.wanted, strict=True
    ):
        assert np.isnan(forecast[0]).all()
        if name not in {"last value", "EWMA", "log-HAR"}:
            assert np.isnan(forecast[~panel.usable]).any(axis=1).all()
        np.testing.assert_allclose(forecast[wanted], usual, atol=0.05)


def _wreck(frame, cut):
    """Everything after row ``cut`` moves ten times as much."""
    later = pl.int_range(pl.len()) > cut
    anchor = frame["close"][cut]
    moved = {
        name: pl.when(later).then(anchor * (pl.col(name) / anchor) ** 10).otherwise(pl.col(name))
        for name in ("open", "high", "low", "close")
    }
    return frame.with_columns(**moved)
