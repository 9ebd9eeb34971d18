"""The stream against the played exchange, on made-up time: hours, the connection lost again and again."""

import asyncio
import random
from collections import defaultdict
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime

import polars as pl
import pytest

from polyscale.exchange.bybit_client import BybitClient
from polyscale.exchange.bybit_stream import BybitStream, ClosedBar, Revision
from polyscale.market.bars import BAR_SCHEMA, Market
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.replay.exchange import ReplayExchange
from polyscale.replay.server import ReplayServer
from polyscale.replay.settings import FaultSettings, ReplaySettings
from tests.leap import run

M1 = Timeframe(1)
START = datetime(2025, 1, 1, tzinfo=UTC)
START_MS = int(START.timestamp() * 1_000)
NUM_SYMBOLS = 50


def markets():
    return [Market("bybit", "linear", f"COIN{i}USDT") for i in range(NUM_SYMBOLS)]


def source(hours):
    """Bars of every market, some of them after the end."""
    days = -(-(hours + 1) // 24)
    return {
        (market, M1): simulate_bars(SimulationSettings(days=days, timeframe=M1, start=START, seed=i)).head(
            60 * hours + 30
        )
        for i, market in enumerate(markets())
    }


async def lose(server, hours, num_losses, seed):
    """Cut or stall the connection at random moments."""
    rng = random.Random(seed)
    loop = asyncio.get_running_loop()
    begin_s = loop.time()
    for at_s in sorted(rng.uniform(0, 3_600 * hours) for _ in range(num_losses)):
        await asyncio.sleep(begin_s + at_s - loop.time())
        rng.choice([server.drop_connections, server.stall_connections])()


@asynccontextmanager
async def played(bars, faults):
    """The exchange with its faults, a client and its stream, for at most a day and an hour."""
    settings = ReplaySettings(push_every_s=20, faults=faults)
    exchange = ReplayExchange(bars=bars, funding={}, start_ms=START_MS, settings=settings)
    async with (
        asyncio.timeout(25 * 3_600),
        ReplayServer(exchange) as server,
        BybitClient(server.url) as client,
    ):
        yield server, client, BybitStream(client, server.ws_url)


async def take(stream, series, num_bars):
    """Events until so many bars have come."""
    events = []
    async with aclosing(stream.events(dict.fromkeys(series))) as coming:
        async for event in coming:
            events.append(event)
            num_bars -= isinstance(event, ClosedBar)
            if num_bars == 0:
                break
    return events


async def follow(bars, hours, num_losses, faults):
    """Every event of so many hours, and what the stream counted."""
    async with played(bars, faults) as (server, _, stream):
        losing = asyncio.create_task(lose(server, hours, num_losses, seed=7))
        events = await take(stream, bars, 60 * hours * len(bars))
        await losing
    return events, stream.counts


def check_every_bar_once_and_in_order(events, bars, hours):
    """Each series as it came must be its source, to the bit."""
    came = defaultdict(list)
    for event in events:
        if isinstance(event, ClosedBar):
            came[event.market, event.timeframe].append(event.kline)
    assert came.keys() == bars.keys()
    for series, klines in came.items():
        frame = pl.DataFrame(klines, schema=["start_ms", *list(BAR_SCHEMA)[1:]], orient="row")
        times = (pl.col("start_ms") + M1.ms).cast(BAR_SCHEMA["close_time"]).alias("close_time")
        assert frame.select(times, *list(BAR_SCHEMA)[1:]).equals(bars[series].head(60 * hours))


def check_hours(hours, num_losses, faults=None):
    bars = source(hours)
    events, counts = run(follow(bars, hours, num_losses, faults or FaultSettings()))
    check_every_bar_once_and_in_order(events, bars, hours)
    return events, counts


def test_hour_of_50_symbols_with_40_lost_connections_is_the_source_to_the_bit():
    events, counts = check_hours(1, 40)
    assert len(events) == 60 * NUM_SYMBOLS
    assert counts.num_connects > 30
    assert counts.num_backfills > 100


def test_hour_of_every_fault_but_revisions_is_the_source_to_the_bit():
    faults = FaultSettings(
        late_confirm=0.05,
        late_confirm_s=20,
        missing_confirm=0.02,
        duplicated=0.05,
        http_429=0.03,
        busy_10006=0.03,
        malformed=0.03,
        slow_page=0.1,
        drops_per_hour=10,
        stalls_per_hour=10,
    )
    events, counts = check_hours(1, 10, faults)
    assert len(events) == 60 * NUM_SYMBOLS
    assert counts.num_connects > 15


def test_every_revision_is_told_and_leads_to_what_the_exchange_has_now():
    bars, num_rows = source(1), 44

    async def follow_and_ask():
        async with played(bars, FaultSettings(revised=0.05, revised_after_s=30)) as (_, client, stream):
            events = await take(stream, bars, (num_rows + 1) * len(bars))
            end_ms = START_MS + num_rows * M1.ms
            return events, {series: await client.klines(*series, START_MS, end_ms) for series in bars}

    events, asked = run(follow_and_ask())
    latest = defaultdict(dict)
    for event in events:
        before, after = event[2:] if isinstance(event, Revision) else (None, event.kline)
        assert latest[event.market, event.timeframe].get(after.start_ms) == before
        latest[event.market, event.timeframe][after.start_ms] = after
    assert sum(isinstance(event, Revision) for event in events) > 50
    for series, frame in asked.items():
        came = list(latest[series].values())[:num_rows]
        assert [row[1:] for row in frame.iter_rows()] == [kline[1:] for kline in came]


@pytest.mark.slow
def test_day_of_50_symbols_with_100_lost_connections_is_the_source_to_the_bit():
    events, counts = check_hours(24, 100)
    assert len(events) == 72_000
    assert counts.num_connects > 90
    assert counts.num_backfills > 500
