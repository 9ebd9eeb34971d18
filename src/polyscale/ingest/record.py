"""A stream of closed bars into the store: many series, one commit every few seconds.

In: events of `BybitStream`. Out: the bars in the store, revised ones with what they were before, holes in
the ledger.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from polyscale.exchange.bybit_candle import Kline
from polyscale.exchange.bybit_client import to_bars
from polyscale.exchange.bybit_stream import ClosedBar, Event, Hole
from polyscale.store.gaps import GapKind
from polyscale.store.layout import ABSENT
from polyscale.store.ledger import write_absent
from polyscale.store.store import Series, Store
from polyscale.store.upkeep import compact

_MANY_FILES = 200  # a series of more files is rewritten as few
_COMPACT_EVERY = 50  # commits


@dataclass(frozen=True)
class Recorded:
    """What one commit brought."""

    inserted: int
    updated: int
    missing: int
    last_close: datetime | None  # of the newest bar


async def record(
    events: AsyncIterable[Event],
    store: Store,
    flush_s: float = 5.0,
    told: Callable[[Recorded], None] = lambda recorded: None,
) -> None:
    """Write what comes until the events end; also what came last before an error or a cancellation.

    Parameters
    ----------
    flush_s
        Seconds between two commits: what a kill may lose, and the next stream or fetch brings again.
    told
        Called after each commit.
    """
    waiting: list[Event] = []
    reader = asyncio.create_task(_read(events, waiting))
    num_commits = 0
    try:
        while not reader.done():
            await asyncio.wait([reader], timeout=flush_s)
            if waiting:
                batch = waiting[:]
                waiting.clear()
                told(await asyncio.to_thread(_write, store, batch))
                num_commits += 1
                if num_commits % _COMPACT_EVERY == 0:
                    await asyncio.to_thread(_compact, store, batch)
        reader.result()
    finally:
        reader.cancel()
        await asyncio.wait([reader])
        if waiting:
            told(await asyncio.to_thread(_write, store, waiting))


async def _read(events: AsyncIterable[Event], waiting: list[Event]) -> None:
    async for event in events:
        waiting.append(event)  # noqa: PERF401 - each is there as soon as it comes


def _write(store: Store, events: list[Event]) -> Recorded:
    bars: dict[Series, dict[int, Kline]] = defaultdict(dict)
    missing = 0
    for event in events:
        if isinstance(event, Hole):
            missing += (event.last_start_ms - event.first_start_ms) // event.timeframe.ms + 1
            write_absent(store, event.market, event.timeframe, _run_of(event))
        else:
            kline = event.kline if isinstance(event, ClosedBar) else event.after
            bars[event.market, event.timeframe][kline.start_ms] = kline
    frames = {
        series: to_bars([klines[start] for start in sorted(klines)], series[1])
        for series, klines in bars.items()
    }
    written = store.write_series(frames).values()
    newest = max((frame["close_time"][-1] for frame in frames.values()), default=None)
    return Recorded(
        sum(each.inserted for each in written), sum(each.updated for each in written), missing, newest
    )


def _run_of(hole: Hole) -> pl.DataFrame:
    ends = [
        datetime.fromtimestamp((start_ms + hole.timeframe.ms) / 1_000, UTC)
        for start_ms in (hole.first_start_ms, hole.last_start_ms)
    ]
    row = (*ends, ends[1], GapKind.ABSENT.value)
    return pl.DataFrame([row], ABSENT.values, orient="row")


def _compact(store: Store, events: list[Event]) -> None:
    for market, timeframe in {(event.market, event.timeframe) for event in events}:
        compact(store, market, timeframe, _MANY_FILES)
