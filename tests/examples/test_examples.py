"""The examples run as they stand: on the simulated market, and with a symbol of an exchange."""

import os
import runpy
import sys
from pathlib import Path

import pytest

from polyscale.exchange import bybit_client
from tests.replay.market import BTC, DAY_MS, FIRST_MS, M1, M5, bars_of, exchange_of
from tests.replay.running import running

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
STEPS = sorted(EXAMPLES.glob("0*.py"))
SAID = {
    "01_data_preparation": ("4H:    131 rows x 14", "what is known at the newest origins"),
    "02_architecture": ("ScaleEncoder  1min: [8, 60, 14] -> [8, 60, 32]", "MultiScaleAttention, 98,561"),
    "03_train": ("3,351 windows to train on", "kept: the weights of epoch"),
    "04_prediction": ("forecasts out of sample", "a fair coin is within the margin"),
    "05_backtest": ("at a cost of 0.1% per fill", "at a cost of 0.0% per fill"),
    "example_usage": ("forecasts of the test", "report: example_runs/example-"),
}
EPOCHS = {"03_train", "04_prediction", "05_backtest"}


@pytest.fixture
def example(tmp_path, monkeypatch, capsys):
    """Run an example in a folder of its own; what it said."""

    def run(name, *words):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, *words])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def exchange():
    """Sixty days of candles of one minute, 120 of five."""
    held = {(BTC, M1): bars_of(30), (BTC, M5): bars_of(120, M5)}
    now_ms = FIRST_MS + 120 * DAY_MS
    shifted = {(market, tf): bars.with_columns(_until(bars, now_ms)) for (market, tf), bars in held.items()}
    with running(exchange_of(now_ms + 1_000, shifted, limited=False)) as server:
        yield server.url


def _until(bars, now_ms):
    """Close times that end now."""
    import polars as pl

    later = now_ms - bars["close_time"].dt.epoch("ms")[-1]
    return pl.col("close_time").dt.offset_by(f"{later}ms")


def test_there_are_the_chapters_five_steps_each_under_sixty_lines():
    names = [path.stem for path in STEPS]
    assert names == ["01_data_preparation", "02_architecture", "03_train", "04_prediction", "05_backtest"]
    assert all(len(path.read_text().splitlines()) < 60 for path in STEPS)


@pytest.mark.parametrize("name", SAID)
def test_an_example_runs_on_a_market_that_never_was(example, name):
    said = example(name, *(["--epochs", "2"] if name in EPOCHS else []))
    for part in SAID[name]:
        assert part in said


@pytest.mark.parametrize("name", SAID)
def test_an_example_runs_on_an_exchange(example, exchange, monkeypatch, name):
    monkeypatch.setenv("POLYSCALE_BYBIT_URL", exchange)
    monkeypatch.setitem(bybit_client.KNOWN_VENUES, exchange, "bybit")
    said = example(name, "--symbol", "BTCUSDT", *(["--epochs", "1"] if name in EPOCHS else []))
    assert SAID[name][-1] in said
    assert "SIMULATED" not in said
    assert os.environ["POLYSCALE_BYBIT_URL"] == exchange
