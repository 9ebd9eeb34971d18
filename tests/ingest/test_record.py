import asyncio
from contextlib import aclosing

import pytest

from polyscale.exchange.bybit_candle import Kline
from polyscale.exchange.bybit_client import BybitClient
from polyscale.exchange.bybit_stream import BybitStream, ClosedBar, Hole, Revision
from polyscale.exchange.errors import RegionError
from polyscale.ingest.record import record
from polyscale.market.errors import StoreError
from polyscale.replay.server import ReplayServer
from polyscale.store.layout import BARS, bars_partition
from polyscale.store.ledger import gaps, read_revisions
from polyscale.store.store import Store
from tests.leap import run
from tests.replay.market import BTC, ETH, FIRST_MS, M1, MINUTE_MS, bars_of, exchange_of


def candle(number, close=101.0):
    return Kline(FIRST_MS + number * MINUTE_MS, 100.0, 102.0, 99.0, close, 5.0, 500.0)


async def slowly(events, error=None):
    """Events a second apart, then an error or the end."""
    for event in events:
        yield event
        await asyncio.sleep(1.0)
    if error is not None:
        raise error


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_bars_revisions_and_holes_end_in_the_store(store):
    events = [
        ClosedBar(BTC, M1, candle(0)),
        ClosedBar(ETH, M1, candle(0)),
        Revision(BTC, M1, candle(0), candle(0, close=101.5)),
        Hole(BTC, M1, FIRST_MS + MINUTE_MS, FIRST_MS + 2 * MINUTE_MS),
        ClosedBar(BTC, M1, candle(3)),
    ]
    told = []
    run(record(slowly(events), store, flush_s=1.5, told=told.append))
    assert store.read_bars(BTC, M1)["close"].to_list() == [101.5, 101.0]
    assert read_revisions(store, BTC, M1)["close"].to_list() == [101.0]
    assert gaps(store, BTC, M1).select("missing_bars", "kind").rows() == [(2, "not fetched")]
    assert store.read_bars(ETH, M1).height == 1
    assert (sum(one.inserted for one in told), sum(one.updated for one in told)) == (3, 1)
    assert sum(one.missing for one in told) == 2


def test_many_series_share_a_commit(store):
    events = [ClosedBar(market, M1, candle(i)) for i in range(3) for market in (BTC, ETH)]
    run(record(slowly(events), store, flush_s=60.0))
    assert store.version().bars == 1
    assert store.read_bars(ETH, M1).height == store.read_bars(BTC, M1).height == 3


def test_what_came_before_an_error_is_stored_and_the_error_is_told(store):
    events = [ClosedBar(BTC, M1, candle(0)), ClosedBar(BTC, M1, candle(1))]
    with pytest.raises(RegionError):
        run(record(slowly(events, RegionError("no")), store, flush_s=60.0))
    assert store.read_bars(BTC, M1).height == 2


def test_commit_that_fails_once_loses_no_bar(store, monkeypatch):
    write, calls = Store.write_series, []

    def fail_once(self, bars):
        calls.append(bars)
        if len(calls) == 1:
            raise StoreError("other writers were faster")
        return write(self, bars)

    monkeypatch.setattr(Store, "write_series", fail_once)
    events = [ClosedBar(BTC, M1, candle(i)) for i in range(9)]
    with pytest.raises(StoreError, match="faster"):
        run(record(slowly(events), store, flush_s=2.5))
    assert store.read_bars(BTC, M1).height >= 3  # what came until then, without a hole
    assert gaps(store, BTC, M1).is_empty()


def test_many_small_files_are_compacted_now_and_then(store, monkeypatch):
    monkeypatch.setattr("polyscale.ingest.record._COMPACT_EVERY", 10)
    monkeypatch.setattr("polyscale.ingest.record._MANY_FILES", 5)
    run(record(slowly([ClosedBar(BTC, M1, candle(i)) for i in range(12)]), store, flush_s=0.9))
    table = store.table(BARS)
    assert len(table.files(table.open(), bars_partition(BTC, M1))) < 6
    assert store.read_bars(BTC, M1).height == 12


def test_what_came_before_a_cancellation_is_stored(store):
    async def begin_and_cancel():
        events = [ClosedBar(BTC, M1, candle(i)) for i in range(100)]
        task = asyncio.create_task(record(slowly(events), store, flush_s=3.3))
        await asyncio.sleep(10.5)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    run(begin_and_cancel())
    assert store.read_bars(BTC, M1).height == 11


def test_recorded_stream_is_the_source_through_lost_connections(store):
    async def follow():
        exchange = exchange_of(
            FIRST_MS, faults={"drops_per_hour": 20, "missing_confirm": 0.1}, push_every_s=10
        )
        async with ReplayServer(exchange) as server, BybitClient(server.url) as client:
            stream = BybitStream(client, server.ws_url)
            async with aclosing(stream.events({(BTC, M1): None})) as events, asyncio.timeout(3_660):
                await record(events, store)

    with pytest.raises(TimeoutError):
        run(follow())
    assert store.read_bars(BTC, M1).equals(bars_of().head(store.close_times(BTC, M1).len()))
    assert store.close_times(BTC, M1).len() >= 59
