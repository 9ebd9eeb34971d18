"""``polyscale replay`` as its user meets it: in a process of its own, from a store and from a file."""

import json
import signal
import subprocess
import sys
from contextlib import contextmanager

import httpx2
import pytest

from polyscale.store.store import Store
from tests.replay.market import BTC, DAY_MS, FIRST_MS, M1, MINUTE_MS, SPOT, bars_of, rates_of

COMMAND = [sys.executable, "-m", "polyscale", "replay"]
OF_FILE = ("--file", "btc.parquet", "--symbol", "btcusdt", "--timeframe", "1m", "--label", "close")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a store of two categories and a file of bars."""
    folder = tmp_path_factory.mktemp("user")
    store = Store(folder / "store")
    store.write_bars(BTC, M1, bars_of())
    store.write_bars(SPOT, M1, bars_of()[:60])
    store.write_funding(BTC, rates_of())
    bars_of().write_parquet(folder / "btc.parquet")
    return folder


@contextmanager
def replaying(folder, *words):
    """What it tells at its start; ended by Ctrl-C."""
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process.stdout
    finally:
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")


def refusal(folder, *words):
    """The one line of an error."""
    done = subprocess.run(
        [*COMMAND, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def page_of(url, **params):
    answer = httpx2.get(f"{url}/v5/market/kline", params={"symbol": "BTCUSDT", "interval": "1", **params})
    return answer.json()["result"]["list"]


def test_the_store_is_played_from_its_newest_close(folder):
    with replaying(folder, "--json") as told:
        opening = json.loads(told.readline())
        page = page_of(opening["url"], limit=1)
        funding = httpx2.get(
            f"{opening['url']}/v5/market/funding/history", params={"category": "linear", "symbol": "BTCUSDT"}
        )
    assert page[0][0] == str(FIRST_MS + 2 * DAY_MS - MINUTE_MS)
    assert opening["now"].startswith("2025-01-03T00:00:00")
    assert opening["ws_url"].startswith("ws://127.0.0.1:")
    assert len(funding.json()["result"]["list"]) == 7


def test_a_file_is_played_from_a_time_on(folder):
    with replaying(folder, *OF_FILE, "--since", "2025-01-01T06:00", "--json") as told:
        page = page_of(json.loads(told.readline())["url"], limit=1)
    assert page[0][0] == str(FIRST_MS + 6 * 60 * MINUTE_MS)


def test_it_tells_what_is_held_and_how_to_reach_it(folder):
    with replaying(folder, "btcusdt", "--category", "spot", "--fault", "late_confirm=0.5") as told:
        text = "".join(iter(told.readline, "Ctrl-C ends it.\n"))
    for part in (
        "bybit/spot/BTCUSDT",
        "1m",
        "late_confirm 0.5",
        "/v5/public/spot",
        "pybit",
        "ccxt",
        "BybitClient",
    ):
        assert part in text
    assert "linear" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("NOPE",), "hold bars of bybit/linear NOPE"),
        (("--venue", "other"), "hold bars of other/linear"),
        (("--fault", "no_such=1"), "--fault must be NAME=VALUE with a name out of drops_per_hour"),
        (("--fault", "http_429"), "--fault must be NAME=VALUE"),
        (("--fault", "http_429=2"), "http_429: must be less than or equal to 1, got '2'"),
        (("--speed", "0"), "speed: must be greater than 0"),
        (("--since", "yesterday"), "a date must be written as"),
        (("--since", "1999-01-01"), "start_ms must be in ms, between 2000 and 2100"),
        (("--symbol", "BTCUSDT"), "go with --file"),
        (("--file", "btc.parquet"), "--file needs one --symbol, --timeframe and --label"),
        (("--host", "192.0.2.1", "--port", "8750"), "must have an address that is free"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
def test_errors_are_one_line(folder, words, said):
    assert said in refusal(folder, *words)
