"""Which words go together, and a fetch by ccxt as its user meets it."""

import json
import os
import subprocess
import sys

import pytest

from polyscale.cli.fetch_source import SourceChoice
from polyscale.cli.options import Category
from polyscale.market.errors import ConfigError
from polyscale.store.store import Store
from tests.replay.market import DAY_MS, FIRST_MS, M1, SPOT, bars_of, exchange_of
from tests.replay.running import running


def fetch(*words, folder):
    command = [sys.executable, "-m", "polyscale", "fetch", *words, "--store", str(folder / "store")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def server():
    exchange = exchange_of(FIRST_MS + DAY_MS, {(SPOT, M1): bars_of()}, limited=False)
    with running(exchange) as server:
        yield server


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ({"word": "kraken"}, "--source must be bybit, or ccxt:ID .*, got 'kraken'"),
        ({"word": "ccxt:"}, "--source must be bybit, or ccxt:ID"),
        ({"category": Category.SPOT}, "--category must be left out with ccxt:kraken, got spot"),
        ({"funding": True}, "--funding must be left out with ccxt:kraken"),
        ({"url": "http://x"}, r"--url .* is an address of Bybit, got http://x with ccxt:kraken"),
        ({"venue": "mine"}, "--venue goes with an address of your own, got 'mine'"),
    ],
)
def test_words_that_make_no_sense_together_are_refused(choice, told):
    usual = {"word": "ccxt:kraken", "url": None, "venue": None, "category": None, "funding": False}
    with pytest.raises(ConfigError, match=told):
        SourceChoice(**{**usual, **choice}).check()


def test_fetch_by_ccxt_stores_the_bars_under_their_venue_and_tells_a_wrong_symbol(server, tmp_path):
    words = ("--source", "ccxt:bybit", "--url", server.url, "--venue", "played", "--json")
    span = ("--since", "2025-01-01", "--until", "2025-01-01T12:00")
    done = fetch("btc/usdt", "NOPE/USDT", *words, *span, folder=tmp_path)
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert [each["series"] for each in told["fetched"]] == ["played/spot/BTCUSDT 1m"]
    assert told["fetched"][0]["new"] == 720
    assert "must be one that the exchange lists, such as BTC/USDT, got 'NOPE/USDT'" in told["failed"][0]
    assert told["fetched"][0]["order_rules"] == {
        "lot_step": 0.001,
        "min_quantity": 0.001,
        "min_notional": 1.0,
    }
    [(market, timeframe)] = Store(tmp_path / "store").series()
    kept = Store(tmp_path / "store").read_bars(market, timeframe)
    assert kept.drop("turnover").equals(bars_of().head(720).drop("turnover"))


def test_unknown_exchange_is_told_in_one_line(tmp_path):
    done = fetch("BTC/USDT", "--source", "ccxt:krakn", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the exchange must be one that ccxt ")
    assert len(done.stderr.splitlines()) == 1
