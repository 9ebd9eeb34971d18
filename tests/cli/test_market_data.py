"""Market data from an exchange on loopback, as a person at a terminal meets it."""

import json
import os
import signal
import subprocess
import sys
from collections import namedtuple

import polars as pl
import pytest

from polyscale.cli.fetch_command import _fetch_all, _told, _Wanted
from polyscale.cli.fetch_progress import FetchProgress
from polyscale.cli.fetch_source import SourceChoice
from polyscale.cli.stream_command import _catch_up
from polyscale.exchange.bybit_client import BybitClient
from polyscale.exchange.errors import WireError
from polyscale.ingest.spans import Span
from polyscale.market.order_rules import OrderRules
from polyscale.replay.server import ReplayServer
from polyscale.store.store import Store
from tests.leap import run
from tests.replay.market import (
    BTC,
    DAY_MS,
    ETH,
    FIRST_MS,
    INVERSE,
    M1,
    SPOT,
    bars_of,
    exchange_of,
    rates_of,
)
from tests.replay.running import running

Listing = namedtuple("Listing", "base_coin quote_coin rules")
COMMAND = [sys.executable, "-m", "polyscale"]


def polyscale(*words, folder, status=0, url=None):
    environment = {**os.environ, **({"POLYSCALE_BYBIT_URL": url} if url else {})}
    done = subprocess.run(
        [*COMMAND, *words], cwd=folder, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def server():
    exchange = exchange_of(FIRST_MS + 2 * DAY_MS + 5_000, funding={BTC: rates_of()}, limited=False)
    with running(exchange) as server:
        yield server


def test_fetch_shows_what_came_and_a_second_one_brings_nothing(tmp_path, server):
    words = ("fetch", "btcusdt", "--days", "3", "--venue", "bybit", "--funding")
    shown = polyscale(*words, folder=tmp_path, url=server.url)
    assert "bybit/linear/BTCUSDT 1m" in shown.stdout
    assert "2,880" in shown.stdout
    assert "pre-listing" in shown.stdout
    assert "pages" in shown.stderr
    [told] = json.loads(polyscale(*words, "--json", folder=tmp_path, url=server.url).stdout)["fetched"]
    assert (told["new"], told["revised"], told["stored"], told["new_funding"]) == (0, 0, 2_880, 0)


@pytest.mark.parametrize(
    ("market", "listed", "line"),
    [
        (
            SPOT,
            Listing("BTC", "USDT", OrderRules(1e-6, 5e-5, 5.0)),
            "orders in steps of 0.000001 BTC, at least 0.00005 BTC and 5 USDT",
        ),
        (BTC, Listing("BTC", "USDT", OrderRules(1.0, 0.0, 5.0)), "orders in steps of 1 BTC, at least 5 USDT"),
        (BTC, Listing("BTC", "USDT", OrderRules(0.5)), "orders in steps of 0.5 BTC"),
        (INVERSE, Listing("BTC", "USD", None), "the exchange does not tell in coins which sizes it takes"),
        (BTC, None, "not listed now, so its order rules stay as they are stored"),
    ],
    ids=str,
)
def test_what_is_demanded_of_orders_is_told_in_one_line(market, listed, line):
    assert _told(market, listed) == f"{market}: {line}"


def test_fetch_stores_and_shows_what_is_demanded_of_orders(tmp_path, server):
    words = ("fetch", "BTCUSDT", "--days", "1", "--venue", "bybit")
    shown = polyscale(*words, folder=tmp_path, url=server.url).stdout
    assert shown.splitlines()[-1] == (
        "bybit/linear/BTCUSDT: orders in steps of 0.001 BTC, at least 0.001 BTC and 5 USDT"
    )
    assert Store(tmp_path / "store").read_order_rules(BTC) == OrderRules(0.001, 0.001, 5.0)
    [told] = json.loads(polyscale(*words, "--json", folder=tmp_path, url=server.url).stdout)["fetched"]
    assert told["order_rules"] == {"lot_step": 0.001, "min_quantity": 0.001, "min_notional": 5.0}


def test_order_rules_that_cannot_be_read_take_nothing_from_the_bars(tmp_path, monkeypatch):
    async def refuse(client, market):
        raise WireError("sizes of another shape")

    monkeypatch.setattr(BybitClient, "instrument", refuse)
    span = Span(FIRST_MS, FIRST_MS + DAY_MS, None, 1.0)

    async def ask():
        exchange = exchange_of(FIRST_MS + 2 * DAY_MS, {(one, M1): bars_of() for one in (BTC, ETH)})
        async with ReplayServer(exchange) as server:
            choice = SourceChoice("bybit", server.url, "bybit", None, funding=False)
            wanted = _Wanted(choice, ["BTCUSDT", "ETHUSDT"], M1, span, recheck=False)
            with FetchProgress() as progress:
                return await _fetch_all(Store(tmp_path), wanted, progress)

    fetched, failed = run(ask())
    assert [(each.bars.stored, each.rules, each.told) for each in fetched] == [(1_440, None, "")] * 2
    assert failed == ["sizes of another shape"] * 2


def test_fetch_goes_on_after_a_wrong_symbol_and_ends_with_status_1(tmp_path, server):
    words = (
        "fetch",
        "--symbol",
        "NOSUCH",
        "--symbol",
        "BTCUSDT",
        "--since",
        "2025-01-02",
        "--venue",
        "bybit",
    )
    done = polyscale(*words, "--url", server.url, folder=tmp_path, status=1)
    assert "NOSUCH" in done.stderr
    assert "1,440" in done.stdout


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["BTCUSDT", "--url", "http://127.0.0.1:9"], "give the venue under which they are to be kept"),
        ([], "at least one symbol"),
        (["BTCUSDT", "--days", "3", "--since", "2025-01-01", "--venue", "x"], "either --days or --since"),
        (["BTCUSDT", "--since", "yesterday", "--venue", "x"], "a date must be written as"),
        (["BTCUSDT", "--since", "2030-01-01", "--venue", "bybit"], "must end after it begins"),
        (["BTCUSDT", "--timeframe", "7m", "--venue", "bybit"], "must be one that Bybit keeps"),
        (["BTCUSDT", "--category", "spot", "--funding", "--venue", "bybit"], "--funding needs a linear"),
        (["BTCUSDT", "--timeframe", "x", "--venue", "bybit"], "timeframe must be a number and a unit"),
    ],
)
def test_wrong_words_are_one_line_of_error(tmp_path, server, words, rule):
    done = polyscale("fetch", *words, folder=tmp_path, url=server.url, status=1)
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert rule in line


def test_damaged_bars_are_shown_and_fetched_again(tmp_path, server):
    polyscale("fetch", "BTCUSDT", "--days", "2", "--venue", "bybit", folder=tmp_path, url=server.url)
    assert "every row is as it was written" in polyscale("bars", "--verify", folder=tmp_path).stdout
    path = next((tmp_path / "store" / "bars").rglob("*.parquet"))
    pl.read_parquet(path, hive_partitioning=False).with_columns(volume=pl.col("volume") * 2).write_parquet(
        path
    )
    shown = polyscale("bars", "--verify", folder=tmp_path, status=1).stdout
    assert "another checksum" in shown
    assert "--refetch" in shown
    told = polyscale("bars", "--verify", "--refetch", folder=tmp_path, url=server.url, status=1).stderr
    assert "give the venue" in told  # bars of an address without a name mend nothing
    words = ("bars", "--verify", "--refetch", "--venue")
    told = polyscale(*words, "replayed", folder=tmp_path, url=server.url, status=1).stdout
    assert "left where it is: replayed has no bars of bybit" in told
    polyscale(*words, "bybit", folder=tmp_path, url=server.url)
    assert "every row is as it was written" in polyscale("bars", "--verify", folder=tmp_path).stdout
    assert "no gaps" in polyscale("bars", "--gaps", "BTCUSDT", folder=tmp_path).stdout


def test_compact_leaves_one_file(tmp_path, server):
    for until in ("2025-01-02", "2025-01-03"):
        words = ("fetch", "BTCUSDT", "--since", "2025-01-01", "--until", until, "--venue", "bybit")
        polyscale(*words, folder=tmp_path, url=server.url)
    told = json.loads(polyscale("compact", "--vacuum", "--json", folder=tmp_path).stdout)
    assert told == {"files_before": {"bybit/linear/BTCUSDT 1m": 2}, "deleted": 0}


@pytest.mark.parametrize("pause_days", [0, 3, 10])
def test_stream_begins_with_what_closed_since_the_newest_stored_bar(tmp_path, pause_days):
    store, now_ms = Store(tmp_path), FIRST_MS + (1 + pause_days) * DAY_MS + 5_000
    store.write_bars(BTC, M1, bars_of(12).head(1_440))

    async def begin():
        exchange = exchange_of(now_ms, bars={(BTC, M1): bars_of(12)})
        async with ReplayServer(exchange) as server, BybitClient(server.url) as client:
            await _catch_up(client, store, [(BTC, M1)])

    run(begin())
    assert store.read_bars(BTC, M1).equals(bars_of(12).head(1_440 * (1 + pause_days)))


def test_stream_keeps_the_store_current_until_ctrl_c(tmp_path):
    exchange = exchange_of(FIRST_MS + DAY_MS, speed=300.0, limited=False)
    with running(exchange) as server:
        words = ("--venue", "bybit", "--url", server.url)
        polyscale("fetch", "BTCUSDT", "--days", "1", *words, folder=tmp_path)
        process = subprocess.Popen(
            [*COMMAND, "stream", "BTCUSDT", *words, "--json"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        told = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "the same command goes on from there" in said
    assert told["inserted"] > 0
    [held] = json.loads(polyscale("bars", "--json", folder=tmp_path).stdout)
    assert held["missing_bars"] == 0
    stored = Store(tmp_path / "store").read_bars(BTC, M1)
    assert bars_of().join(stored, on=stored.columns, how="semi").equals(stored)
