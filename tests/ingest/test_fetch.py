"""Fetching from a played exchange on loopback, on made-up time."""

import asyncio

import polars as pl
import pytest

from polyscale.exchange.bar_file import read_bar_file
from polyscale.exchange.bybit_client import BybitClient
from polyscale.exchange.bybit_http import BybitSettings
from polyscale.exchange.errors import BadRequestError, BannedError
from polyscale.ingest.fetch import fetch_bars, fetch_funding, fetch_order_rules
from polyscale.market.bars import Market
from polyscale.market.errors import ConfigError, StoreError
from polyscale.market.instant import time_of
from polyscale.market.order_rules import OrderRules
from polyscale.replay.exchange import ReplayExchange
from polyscale.replay.server import ReplayServer
from polyscale.replay.settings import FaultSettings, ReplaySettings
from polyscale.store.layout import ABSENT, BARS, ORDER_RULES, bars_partition, market_partition
from polyscale.store.ledger import read_quarantine
from polyscale.store.store import Store
from tests.conftest import REAL_DATA
from tests.leap import run
from tests.replay.market import (
    BTC,
    DAY_MS,
    ETH,
    FIRST_MS,
    HOUR_MS,
    INVERSE,
    M1,
    MINUTE_MS,
    SPOT,
    W1,
    bars_of,
    rates_of,
)

LATE_MS = FIRST_MS + 4 * DAY_MS + 30_000


def without(bars, *spans):
    """Bars without those whose number, counted from 0, lies in a span."""
    number = pl.int_range(pl.len())
    return bars.filter(*[~number.is_between(first, last) for first, last in spans])


def fetch(store, held, market=BTC, start_ms=FIRST_MS, end_ms=LATE_MS, now_ms=LATE_MS, faults=None, **more):
    """One fetch from an exchange that holds the frames; the report and the number of kline requests."""
    timeframe = more.pop("timeframe", M1)

    async def ask():
        bars = {(one, M1): frame for one, frame in held.items()}
        settings = ReplaySettings(faults=faults or FaultSettings())
        exchange = ReplayExchange(bars, {BTC: rates_of()}, start_ms=now_ms, settings=settings)
        async with (
            ReplayServer(exchange) as server,
            BybitClient(server.url, BybitSettings(attempts=12)) as client,
        ):
            report = await fetch_bars(client, store, market, timeframe, start_ms, end_ms, **more)
            return report, server.num_requests["/v5/market/kline"]

    return run(ask())


def missing(report):
    return dict(report.gaps.group_by("kind").agg(pl.col("missing_bars").sum()).rows())


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_fetched_bars_are_the_source_to_the_bit_and_a_second_fetch_asks_for_none(store):
    bars = bars_of(4)
    report, num_requests = fetch(store, {BTC: bars})
    assert (report.inserted, report.stored, missing(report)) == (5_760, 5_760, {})
    assert store.read_bars(BTC, M1).equals(bars)
    assert num_requests == 16  # six pages, and ten to find the first bar
    again, num_requests = fetch(store, {BTC: bars})
    assert (again.inserted, again.updated, again.stored, num_requests) == (0, 0, 5_760, 0)


def test_faults_of_pages_change_no_bar(store):
    faults = FaultSettings(
        http_429=0.1, busy_10006=0.1, malformed=0.1, duplicated=0.3, slow_page=0.2, clock_skew_s=7_200
    )
    _, num_requests = fetch(
        store, {BTC: bars_of(20)}, now_ms=FIRST_MS + 20 * DAY_MS, end_ms=10**13, faults=faults
    )
    assert store.read_bars(BTC, M1).equals(bars_of(20))
    assert num_requests > 30


def test_forming_bar_is_not_stored(store):
    now_ms = FIRST_MS + 90 * MINUTE_MS + 59_999
    report, _ = fetch(store, {BTC: bars_of(4)}, now_ms=now_ms)
    assert report.stored == 90
    assert store.read_bars(BTC, M1).equals(bars_of(4).head(90))


def test_bar_that_closed_just_now_is_left_for_the_next_time(store):
    for into_ms, num_bars in ((1_999, 89), (2_000, 90)):
        report, _ = fetch(store, {BTC: bars_of(4)}, now_ms=FIRST_MS + 90 * MINUTE_MS + into_ms)
        assert report.stored == num_bars


def test_batches_are_commits_of_their_own(store):
    report, _ = fetch(store, {BTC: bars_of(4)}, batch_bars=1_000)
    assert report.inserted == 5_760
    assert store.version().bars >= 6


def test_batches_count_windows_though_no_bar_comes(store):
    held = without(bars_of(4), (10, 5_749))
    fetch(store, {BTC: held}, batch_bars=1_000)
    assert store.table(ABSENT).open().version() >= 5


def test_revised_bars_are_counted(store):
    bars = bars_of(4)
    wrong = bars.with_columns(volume=pl.col("volume") + (pl.int_range(pl.len()) == 7))
    store.write_bars(BTC, M1, without(wrong, (100, 100), (5, 5)))
    report, _ = fetch(store, {BTC: bars})  # both holes lie in one window
    assert (report.inserted, report.updated) == (2, 1)


class EmptyOnce(BybitClient):
    """A client to which the exchange answers each window with nothing the first time."""

    def __init__(self, *words):
        super().__init__(*words)
        self.seen = set()

    async def _candles(self, source, market, timeframe, window):
        candles = await super()._candles(source, market, timeframe, window)
        first_time = (market, timeframe, window) not in self.seen
        self.seen.add((market, timeframe, window))
        return candles._replace(rows=[]) if first_time else candles


def test_answers_that_are_empty_by_a_fault_make_no_hole(store, monkeypatch):
    monkeypatch.setitem(globals(), "BybitClient", EmptyOnce)
    store.write_bars(BTC, M1, bars_of(4).head(10))
    report, _ = fetch(store, {BTC: bars_of(4)})
    assert (report.inserted, missing(report)) == (5_750, {})


def test_market_without_any_candle_is_not_explained(store, monkeypatch):
    async def none(*words):
        return None

    monkeypatch.setattr(BybitClient, "first_day_ms", none)
    report, num_requests = fetch(store, {BTC: bars_of(4)}, start_ms=FIRST_MS + 3 * DAY_MS)
    assert (missing(report), num_requests) == ({"not fetched": 1_440}, 0)


def test_series_of_many_files_is_compacted_after_a_fetch(store):
    for first in range(0, 660, 10):
        store.write_bars(BTC, M1, bars_of(4)[first : first + 10])
    fetch(store, {BTC: bars_of(4)})
    table = store.table(BARS)
    assert len(table.files(table.open(), bars_partition(BTC, M1))) == 1
    assert store.read_bars(BTC, M1).equals(bars_of(4))


def test_compaction_that_loses_every_race_does_not_fail_the_fetch(store, monkeypatch):
    def lose(*words):
        raise StoreError("a conflict")

    monkeypatch.setattr("polyscale.ingest.fetch.compact", lose)
    report, _ = fetch(store, {BTC: bars_of(4)})
    assert report.stored == 5_760


def test_only_the_missing_part_is_asked_for(store):
    bars = bars_of(4)
    store.write_bars(BTC, M1, without(bars, (3_000, 3_099), (3_150, 3_199)))
    report, num_requests = fetch(store, {BTC: bars})
    assert (report.inserted, num_requests) == (150, 1)
    assert store.read_bars(BTC, M1).equals(bars)


def test_halts_and_outages_are_told_apart_by_a_main_market(store):
    bars = without(bars_of(4), (2_000, 2_009))  # every market is out
    report, _ = fetch(
        store, {BTC: bars, ETH: without(bars_of(4), (2_000, 2_009), (4_000, 4_004))}, market=ETH
    )
    assert missing(report) == {"outage": 10, "halted": 5}
    again, num_requests = fetch(store, {BTC: bars, ETH: bars}, market=ETH)
    assert (missing(again), num_requests) == ({"outage": 10, "halted": 5}, 0)


def test_hole_that_is_asked_for_alone_is_told_from_a_halt(store):
    both = without(bars_of(4), (2_000, 2_009))
    for first, last in ((0, 1_999), (2_010, 5_759)):
        span = {"start_ms": FIRST_MS + first * MINUTE_MS, "end_ms": FIRST_MS + (last + 1) * MINUTE_MS}
        fetch(store, {BTC: both, ETH: both}, market=ETH, **span)
    report, _ = fetch(store, {BTC: both, ETH: both}, market=ETH)
    assert missing(report) == {"outage": 10}


def test_bar_that_the_exchange_did_not_have_is_asked_for_again_on_request(store):
    fetch(store, {BTC: bars_of(4), ETH: without(bars_of(4), (100, 119))}, market=ETH)
    report, _ = fetch(store, {BTC: bars_of(4), ETH: bars_of(4)}, market=ETH, recheck=True)
    assert (report.inserted, missing(report)) == (20, {})


def test_time_before_the_listing_is_not_asked_for_page_by_page(store):
    report, num_requests = fetch(
        store,
        {BTC: bars_of(4), ETH: without(bars_of(4), (0, 99))},
        market=ETH,
        start_ms=FIRST_MS - 600 * DAY_MS,
    )
    assert missing(report) == {"pre-listing": 600 * 1_440 + 100}
    assert num_requests < 20
    _, num_requests = fetch(
        store, {BTC: bars_of(4), ETH: bars_of(4)}, market=ETH, start_ms=FIRST_MS - 600 * DAY_MS
    )
    assert num_requests == 0


def test_hole_at_the_begin_of_a_span_is_not_taken_for_the_listing(store):
    held = without(bars_of(4), (1_440 * 2, 1_440 * 2 + 9))
    report, _ = fetch(store, {BTC: held}, start_ms=FIRST_MS + 2 * DAY_MS)
    assert missing(report) == {"absent": 10}


def test_market_that_never_traded_in_the_span_is_told_so(store):
    report, _ = fetch(store, {BTC: bars_of(4)}, start_ms=FIRST_MS - 3 * DAY_MS, end_ms=FIRST_MS - DAY_MS)
    assert (report.stored, missing(report)) == (0, {"pre-listing": 2 * 1_440})


def test_newest_bar_that_is_not_there_yet_is_asked_for_next_time(store):
    report, _ = fetch(
        store, {BTC: bars_of(4)}, now_ms=FIRST_MS + 4 * DAY_MS + 2 * MINUTE_MS + 5_000, end_ms=10**13
    )
    assert missing(report) == {"not fetched": 2}


def test_row_that_breaks_a_rule_each_time_is_quarantined_with_what_came(store):
    report, _ = fetch(
        store, {BTC: bars_of(1)}, end_ms=FIRST_MS + 500 * MINUTE_MS, faults=FaultSettings(broken_row=1.0)
    )
    assert report.quarantined == 1
    assert missing(report) == {"quarantined": 1}
    [row] = read_quarantine(store, BTC, M1).to_dicts()
    assert row["seen_time"].timestamp() * 1_000 >= LATE_MS
    assert "prices must be > 0 with low <= open, close <= high" in row["reason"]
    assert store.read_bars(BTC, M1).height == 499


def test_weeks_begin_on_monday(store):
    held = bars_of(40)
    report, _ = fetch(
        store, {BTC: held}, now_ms=FIRST_MS + 40 * DAY_MS + MINUTE_MS, end_ms=10**13, timeframe=W1
    )
    closes = store.read_bars(BTC, W1)["close_time"]
    assert closes.dt.weekday().unique().to_list() == [1]
    assert (report.stored, missing(report)) == (5, {})


def test_what_came_before_a_ban_is_stored(store, monkeypatch):
    page, asked = BybitClient._page, []

    async def banned_after_twelve(self, *words):
        asked.append(words)
        if len(asked) > 12:
            raise BannedError("got HTTP 403")
        return await page(self, *words)

    monkeypatch.setattr(BybitClient, "_page", banned_after_twelve)
    with pytest.raises(BannedError):
        fetch(store, {BTC: bars_of(20)}, now_ms=FIRST_MS + 20 * DAY_MS, end_ms=10**13)
    assert store.read_bars(BTC, M1).equals(bars_of(20).head(8_000))  # four asked for the first bar


def test_unknown_symbol_is_refused_and_makes_no_table(store):
    with pytest.raises(BadRequestError, match="NOSUCH"):
        fetch(store, {BTC: bars_of(1)}, market=Market("bybit", "linear", "NOSUCHUSDT"))
    assert store.series() == []


def test_span_without_a_closed_bar_is_refused(store):
    with pytest.raises(ConfigError, match="must hold a closed bar of 1m"):
        fetch(store, {BTC: bars_of(1)}, start_ms=FIRST_MS + 1, end_ms=FIRST_MS + MINUTE_MS)


def test_stop_of_a_person_keeps_what_came(store):
    async def ask():
        exchange = ReplayExchange({(BTC, M1): bars_of(20)}, start_ms=FIRST_MS + 20 * DAY_MS)
        async with (
            ReplayServer(exchange) as server,
            BybitClient(server.url, BybitSettings(concurrency=2)) as client,
        ):
            stop = asyncio.Event()
            progress = lambda done, of: stop.set() if done == 8 else None  # noqa: E731
            task = asyncio.create_task(fetch_bars(client, store, BTC, M1, FIRST_MS, 10**13, progress))
            await stop.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    run(ask())
    assert store.read_bars(BTC, M1).equals(bars_of(20).head(8_000))


def test_batch_is_stored_though_the_reference_market_fails(store, monkeypatch):
    async def banned(self, pages):
        raise BannedError("got HTTP 403")

    monkeypatch.setattr("polyscale.ingest.fetch._Job._reference", banned)
    with pytest.raises(BannedError):
        fetch(store, {BTC: bars_of(4), ETH: without(bars_of(4), (100, 119))}, market=ETH)
    assert store.read_bars(ETH, M1).height == 5_740


def test_funding_is_fetched_and_kept(store):
    async def ask():
        exchange = ReplayExchange({(BTC, M1): bars_of(4)}, {BTC: rates_of()}, start_ms=LATE_MS)
        async with ReplayServer(exchange) as server, BybitClient(server.url) as client:
            first = await fetch_funding(client, store, BTC, FIRST_MS, FIRST_MS + 24 * HOUR_MS)
            return first, await fetch_funding(client, store, BTC, FIRST_MS, LATE_MS)

    first, second = run(ask())
    assert (first.inserted, second.inserted, second.unchanged) == (3, 4, 3)
    assert store.read_funding(BTC).equals(rates_of())


def order_rules(store, *markets, listed=(BTC, SPOT, INVERSE)):
    """What is told of markets, and the number of requests."""

    async def ask():
        exchange = ReplayExchange({(one, M1): bars_of(4) for one in listed}, {}, start_ms=LATE_MS)
        async with ReplayServer(exchange) as server, BybitClient(server.url) as client:
            found = [await fetch_order_rules(client, store, market, LATE_MS) for market in markets]
            return found, server.num_requests.total()

    return run(ask())


def test_order_rules_are_fetched_by_one_request_and_kept(store):
    (linear, spot), num_requests = order_rules(store, BTC, SPOT)
    assert (linear.base_coin, linear.quote_coin, num_requests) == ("BTC", "USDT", 2)
    assert store.read_order_rules(BTC) == linear.rules == OrderRules(0.001, 0.001, 5.0)
    assert store.read_order_rules(SPOT) == spot.rules == OrderRules(0.001, 0.001, 1.0)
    table, partition = store.table(ORDER_RULES), market_partition(BTC)
    assert table.read_times(table.open(), partition).to_list() == [time_of(LATE_MS)]
    order_rules(store, BTC, SPOT)
    assert store.version().order_rules == 2


def test_contracts_of_one_dollar_leave_no_rules_in_coins(store):
    [inverse], _ = order_rules(store, INVERSE)
    assert (inverse.symbol, inverse.rules) == ("BTCUSD", None)
    assert store.read_order_rules(INVERSE) is None


def test_rules_of_a_delisted_market_stay_as_they_are_stored(store):
    store.write_order_rules(ETH, OrderRules(0.5), time_of(FIRST_MS))
    assert order_rules(store, ETH)[0] == [None]
    assert store.read_order_rules(ETH) == OrderRules(0.5)


@pytest.mark.real_data
def test_real_bars_with_524_gaps_come_through_the_exchange_to_the_bit(store):
    path = REAL_DATA / "BYBIT-PERP_ADAUSDT_1m_chunked.parquet"
    if not path.exists():
        pytest.skip("the folder of real candles is absent")
    bars, ada = read_bar_file(path, M1, "open").bars, Market("bybit", "linear", "ADAUSDT")
    first_ms, last_ms = (int(bars["close_time"].dt.epoch("ms")[at]) for at in (0, -1))
    held = {ada: bars}
    report, _ = fetch(
        store, held, market=ada, start_ms=first_ms - MINUTE_MS, end_ms=last_ms, now_ms=last_ms + 5_000
    )
    assert store.read_bars(ada, M1).equals(bars)
    assert (report.gaps.height, missing(report).keys()) == (524, {"absent"})
    again, num_requests = fetch(
        store, held, market=ada, start_ms=first_ms, end_ms=last_ms, now_ms=last_ms + 5_000
    )
    assert (again.gaps.height, num_requests) == (524, 0)
