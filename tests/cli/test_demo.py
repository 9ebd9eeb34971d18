"""The demo with an exchange that answers, and with none."""

import json

import pytest

from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.replay.exchange import ReplayExchange
from polyscale.replay.settings import ReplaySettings
from tests.cli.test_market_data import polyscale
from tests.replay.market import BTC, DAY_MS, FIRST_MS, M5
from tests.replay.running import running


def test_demo_takes_the_exchange_that_answers(tmp_path):
    bars = simulate_bars(SimulationSettings(days=60, seed=2))
    settings = ReplaySettings(limited=False)
    exchange = ReplayExchange({(BTC, M5): bars}, start_ms=FIRST_MS + 60 * DAY_MS, settings=settings)
    with running(exchange) as server:
        done = polyscale("demo", "--json", folder=tmp_path, url=server.url)
    assert "simulated" not in done.stderr
    assert "365 days from http://127.0.0.1" in done.stderr
    told = json.loads(done.stdout)
    assert list(told["symbols"]) == ["BTCUSDT"]
    page = (tmp_path / told["report"]).read_text()
    assert "The market on this page is simulated" not in page


@pytest.mark.slow
def test_demo_simulates_a_market_where_nothing_answers_and_says_so(tmp_path):
    done = polyscale("demo", "--json", folder=tmp_path, url="http://127.0.0.1:9")
    assert "does not answer" in done.stderr
    assert "simulated" in done.stderr
    page = (tmp_path / json.loads(done.stdout)["report"]).read_text()
    assert "The market on this page is simulated" in page
