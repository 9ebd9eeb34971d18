"""ccxt's own class of Bybit reads the played exchange, in real time; a made-up exchange shows the rest."""

import asyncio
import sys
from importlib import import_module

import polars as pl
import pytest

from polyscale.exchange.bybit_client import BybitClient
from polyscale.exchange.ccxt_exchange import CcxtSettings
from polyscale.exchange.ccxt_source import CcxtSource
from polyscale.exchange.errors import (
    BadRequestError,
    BannedError,
    BusyError,
    GarbledError,
    RegionError,
)
from polyscale.exchange.source import Window
from polyscale.ingest.fetch import fetch_bars
from polyscale.market.bars import Market
from polyscale.market.errors import ConfigError
from polyscale.market.order_rules import OrderRules
from polyscale.market.timeframe import Timeframe
from polyscale.replay.faults import Faults
from polyscale.replay.server import ReplayServer
from polyscale.replay.settings import FaultSettings
from polyscale.store.ledger import read_quarantine
from polyscale.store.store import Store
from tests.exchange.ccxt_fake import MARKET, FakeCcxt, at, source_of
from tests.replay.market import (
    BTC,
    DAY_MS,
    FIRST_MS,
    H1,
    INVERSE,
    M1,
    MINUTE_MS,
    SPOT,
    bars_of,
    exchange_of,
)

NO_TURNOVER = pl.lit(None, pl.Float64).alias("turnover")
QUICK = CcxtSettings(attempts=12, backoff_s=0.01, max_backoff_s=0.05)


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    """A played exchange has no rate to hold: ccxt's own would wait a second for the list of markets."""

    async def admitted(self, cost=None):
        pass

    bybit = import_module("ccxt.async_support").bybit
    monkeypatch.setattr(bybit, "throttle", admitted)
    monkeypatch.setattr(bybit, "timeout_on_exit", 0)


def played(act, now_ms=FIRST_MS + DAY_MS + 30_000, bars=None, settings=QUICK, **exchange):
    """What ``act`` makes of a source and the server that it asks."""
    held = {(market, M1): bars_of() if bars is None else bars for market in (BTC, SPOT, INVERSE)}

    async def ask():
        server = ReplayServer(exchange_of(now_ms, held, limited=False, **exchange))
        async with server, CcxtSource("bybit", settings, url=server.url) as source:
            return await act(source, server)

    return asyncio.run(ask())


def fetch(store, word, timeframe=M1, start_ms=FIRST_MS, end_ms=10**13, faults=None, **exchange):
    """One fetch of a market; its report, the market, and the number of kline requests.

    Faults begin when the markets are listed, for which ccxt needs eleven answers without one.
    """

    async def act(source, server):
        market = await source.market_of(word)
        server.exchange.faults = Faults(FaultSettings(**faults or {}), seed=1)
        report = await fetch_bars(source, store, market, timeframe, start_ms, end_ms)
        return report, market, server.num_requests["/v5/market/kline"]

    return played(act, **exchange)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_order_rules_are_those_that_our_own_client_reads():
    async def act(source, server):
        async with BybitClient(server.url) as client:
            return [
                (await each.instrument(market)).rules
                for each in (source, client)
                for market in (BTC, SPOT, INVERSE)
            ]

    rules = played(act)
    assert rules[:3] == rules[3:]
    assert rules[:3] == [OrderRules(0.001, 0.001, 5.0), OrderRules(0.001, 0.001, 1.0), None]


def test_sizes_in_digits_give_no_order_rules(monkeypatch):
    sized = {"precision": {"amount": 8}}
    monkeypatch.setattr("tests.exchange.ccxt_fake.MARKET", {**MARKET, **sized})
    monkeypatch.setattr(FakeCcxt, "precisionMode", 3)
    asking = source_of(monkeypatch, FakeCcxt())
    assert asyncio.run(asking.source.instrument(asking.market)).rules is None


@pytest.mark.parametrize(
    ("word", "market"), [("BTC/USDT", SPOT), ("BTC/USDT:USDT", BTC), ("BTC/USD:BTC", INVERSE)]
)
def test_fetched_bars_are_the_source_to_the_bit_and_a_second_fetch_asks_for_none(store, word, market):
    report, found, _ = fetch(store, word)
    assert found == market
    assert (report.inserted, report.stored, report.quarantined) == (1_440, 1_440, 0)
    assert store.read_bars(market, M1).equals(bars_of().head(1_440).with_columns(NO_TURNOVER))
    again, _, num_requests = fetch(store, word)
    assert (again.inserted, again.updated, again.stored, num_requests) == (0, 0, 1_440, 0)


def test_bars_that_bybit_gave_before_are_not_revised(store):
    store.write_bars(SPOT, M1, bars_of().head(700))
    report, _, _ = fetch(store, "BTC/USDT")
    assert (report.inserted, report.updated) == (740, 0)
    assert store.read_bars(SPOT, M1)["turnover"].null_count() == 740


def test_faults_of_pages_change_no_bar(store):
    faults = {"http_429": 0.1, "busy_10006": 0.1, "malformed": 0.2, "duplicated": 0.3}
    report, _, _ = fetch(store, "BTC/USDT", faults=faults)
    assert (report.stored, report.quarantined) == (1_440, 0)
    assert store.read_bars(SPOT, M1).equals(bars_of().head(1_440).with_columns(NO_TURNOVER))


def test_forming_candle_is_not_stored(store):
    report, _, _ = fetch(store, "BTC/USDT", now_ms=FIRST_MS + 90 * MINUTE_MS + 58_000)
    assert report.stored == 90
    assert store.read_bars(SPOT, M1)["close"].to_list() == bars_of().head(90)["close"].to_list()


def test_coarser_candles_are_fetched_as_the_exchange_makes_them(store):
    report, _, _ = fetch(store, "BTC/USDT", timeframe=H1)
    assert report.stored == 24
    last = store.read_bars(SPOT, H1).row(-1, named=True)
    assert last["close"] == bars_of()["close"][1_439]


def test_bars_that_the_exchange_does_not_have_are_absent_and_not_asked_for_again(store):
    number = pl.int_range(pl.len())
    held = bars_of().filter(~number.is_between(500, 509), ~number.is_between(990, 1_004))
    report, _, _ = fetch(store, "BTC/USDT", bars=held)
    assert report.gaps.select("missing_bars", "kind").rows() == [(10, "absent"), (15, "absent")]
    _, _, num_requests = fetch(store, "BTC/USDT", bars=held)
    assert num_requests == 0


def test_row_that_breaks_a_rule_each_time_is_quarantined(store):
    report, _, _ = fetch(store, "BTC/USDT", end_ms=FIRST_MS + 500 * MINUTE_MS, faults={"broken_row": 1.0})
    assert (report.stored, report.quarantined) == (499, 1)
    [row] = read_quarantine(store, SPOT, M1).to_dicts()
    assert "prices must be > 0 with low <= open, close <= high" in row["reason"]


def test_unknown_symbol_is_refused_with_what_is_near():
    async def act(source, server):
        return await source.market_of("btc-usdt")

    with pytest.raises(BadRequestError, match=r"did you mean BTC/USDT \(spot, BTCUSDT\), BTC/USDT:USDT"):
        played(act)


def test_market_that_the_exchange_does_not_list_is_refused_and_makes_no_table(store):
    async def act(source, server):
        await fetch_bars(source, store, Market("bybit", "spot", "NOPE"), M1, FIRST_MS, 10**13)

    with pytest.raises(BadRequestError, match="must list NOPE among its spot markets"):
        played(act)
    assert store.series() == []


def test_market_of_another_venue_is_refused():
    async def act(source, server):
        await source.first_day_ms(Market("kraken", "spot", "BTCUSDT"), FIRST_MS, FIRST_MS)

    with pytest.raises(ConfigError, match="must be the source's own, 'bybit', got kraken/spot/BTCUSDT"):
        played(act)


def test_timeframe_that_the_exchange_does_not_keep_is_told_those_it_keeps():
    async def act(source, server):
        return [page async for page in source.pages(SPOT, Timeframe(7), [Window(FIRST_MS, FIRST_MS)])]

    with pytest.raises(ConfigError, match=r"one that bybit keeps .*15m.* got 7m"):
        played(act)


@pytest.mark.parametrize(
    ("fault", "kind", "num_attempts"),
    [("http_429", BusyError, 3), ("malformed", GarbledError, 3), ("http_403", BannedError, 1)],
)
def test_errors_of_the_exchange_are_ours_and_asked_again_if_they_pass(fault, kind, num_attempts):
    seen = []

    async def act(source, server):
        with pytest.raises(kind):
            await source.server_time_ms()
        seen.append(server.num_requests["/v5/market/time"])

    settings = CcxtSettings(attempts=3, backoff_s=0.01, max_backoff_s=0.05)
    played(act, settings=settings, faults={fault: 1.0})
    assert seen == [num_attempts]


def test_markets_in_a_broken_answer_are_not_taken_for_none():
    async def act(source, server):
        await source.market_of("BTC/USDT")

    settings = CcxtSettings(attempts=2, backoff_s=0.01, max_backoff_s=0.01)
    with pytest.raises(GarbledError, match="bybit: markets: the answer must be JSON"):
        played(act, settings=settings, faults={"malformed": 1.0})


def test_server_that_is_not_there_is_busy():
    async def ask():
        settings = CcxtSettings(attempts=2, backoff_s=0.01, max_backoff_s=0.01)
        async with CcxtSource("bybit", settings, url="http://127.0.0.1:9") as source:
            await source.server_time_ms()

    with pytest.raises(BusyError, match=r"gave up after 2 attempts"):
        asyncio.run(ask())


def test_missing_package_is_told_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "ccxt.async_support", None)
    with pytest.raises(
        ConfigError, match=r'must be installed to ask kraken.*pip install "polyscale\[ccxt\]"'
    ):
        CcxtSource("kraken")


def test_unknown_exchange_is_told_what_is_near():
    with pytest.raises(ConfigError, match="got 'krakn'; for example kraken"):
        CcxtSource("krakn")


@pytest.mark.parametrize("keeps", ["oldest", "newest"])
def test_page_that_the_exchange_caps_at_either_end_is_no_absence(monkeypatch, keeps):
    fake = FakeCcxt(now_ms=at(1_000), cap=70, keeps=keeps)
    [page] = source_of(monkeypatch, fake).read(Window(at(0), at(299)))
    assert page.bars.height == 300
    assert fake.num_candle_requests == 5


def test_hole_in_a_capped_page_is_absent_and_costs_no_request(monkeypatch):
    fake = FakeCcxt(now_ms=at(1_000), cap=70, missing=range(100, 110))
    [page] = source_of(monkeypatch, fake).read(Window(at(0), at(299)))
    assert page.bars.height == 290
    assert fake.num_candle_requests == 5


def test_rows_of_another_time_are_dropped(monkeypatch):
    fake = FakeCcxt(now_ms=at(1_000), extra=[at(5), at(400)])
    [page] = source_of(monkeypatch, fake).read(Window(at(10), at(19)))
    assert page.bars["close_time"].dt.epoch("ms").to_list() == [at(minute) for minute in range(11, 21)]


def test_page_is_as_long_as_the_exchange_allows(monkeypatch):
    assert (
        source_of(monkeypatch, FakeCcxt(features={"spot": {"fetchOHLCV": {"limit": 720}}})).page_bars == 720
    )
    assert (
        source_of(monkeypatch, FakeCcxt(features={"spot": {"fetchOHLCV": {"limit": 1_500}}})).page_bars
        == 1_000
    )
    assert source_of(monkeypatch, FakeCcxt(features=None)).page_bars == 1_000


def test_exchange_without_a_clock_is_read_up_to_its_newest_candle(monkeypatch, store):
    fake = FakeCcxt(now_ms=at(100) + 59_999, tells_time=False)
    report = source_of(monkeypatch, fake).fetch(store, at(0), 10**13)
    assert report.stored == 99  # the candle of minute 100 is forming, the one before may not have settled
    assert store.read_bars(report.market, M1)["close_time"].dt.epoch("ms")[-1] == at(99)


def test_day_of_the_first_candle_is_found_page_by_page(monkeypatch):
    fake = FakeCcxt(now_ms=FIRST_MS + 3_000 * DAY_MS, first_ms=FIRST_MS + 1_234 * DAY_MS + MINUTE_MS)
    first_day = source_of(monkeypatch, fake).first_day(FIRST_MS, fake.now_ms)
    assert first_day == FIRST_MS + 1_235 * DAY_MS  # the first whole day that the made-up exchange has


def test_exchange_without_daily_candles_tells_nothing_of_the_listing(monkeypatch):
    fake = FakeCcxt(now_ms=at(1_000), timeframes=("1m",))
    assert source_of(monkeypatch, fake).first_day(FIRST_MS + 5, at(1_000)) == FIRST_MS


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("BadSymbol", "no such market", BadRequestError),
        ("PermissionDenied", "not here", RegionError),
        ("ExchangeNotAvailable", "x GET https://a.b/c?d=e 451 Unavailable For Legal Reasons", RegionError),
        ("ExchangeNotAvailable", "x GET https://a.b/c 403 Forbidden go away", RegionError),
        ("DDoSProtection", "x GET https://a.b/c 418 I'm a teapot banned", BannedError),
        ("DDoSProtection", "slow down", BusyError),
        ("RequestTimeout", "x GET https://a.b/c", BusyError),
        ("NullResponse", "nothing", GarbledError),
    ],
)
def test_every_error_of_ccxt_becomes_one_of_ours(monkeypatch, name, text, kind):
    fake = FakeCcxt(now_ms=at(10), fails=getattr(import_module("ccxt"), name)(text))
    with pytest.raises(kind, match=r"^candles 1m of fake BTC/USDT: "):
        source_of(monkeypatch, fake).read(Window(at(0), at(1)))
