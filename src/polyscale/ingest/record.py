"""A stream of closed bars into the store: many series, one commit every few seconds.

In: events of `BybitStream`. Out: the bars in the store, revised ones with what they were before. A hole is
left to the next fetch, which asks again and finds out why.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from polyscale.exchange.bybit_candle import Kline
from polyscale.exchange.bybit_client import to_bars
from polyscale.exchange.bybit_stream import ClosedBar, Event, Hole
from polyscale.market.errors import StoreError
from polyscale.store.store import Series, Store
from polyscale.store.upkeep import compact

_MANY_FILES: Final = 64  # a series of more files is rewritten as few
_COMPACT_EVERY: Final = 100  # commits
_log = logging.getLogger(__name__)


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
                told(await _flush(store, waiting))
                num_commits += 1
                if num_commits % _COMPACT_EVERY == 0:
                    await asyncio.to_thread(_compact, store)
        reader.result()
    finally:
        reader.cancel()
        await asyncio.wait([reader])
        if waiting:
            told(await _flush(store, waiting))


async def _flush(store: Store, waiting: list[Event]) -> Recorded:
    """Write what waits; it waits on if that fails."""
    batch = waiting[:]
    written = await asyncio.to_thread(_write, store, batch)
    del waiting[: len(batch)]
    return written


async def _read(events: AsyncIterable[Event], waiting: list[Event]) -> None:
    async for event in events:
        waiting.append(event)  # noqa: PERF401 - each is there as soon as it comes


def _write(store: Store, events: list[Event]) -> Recorded:
    bars: dict[Series, dict[int, Kline]] = defaultdict(dict)
    missing = 0
    for event in events:
        if isinstance(event, Hole):  # noted by the next fetch, which asks again and finds out why
            missing += (event.last_start_ms - event.first_start_ms) // event.timeframe.ms + 1
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


def _compact(store: Store) -> None:
    """Upkeep: where another writer is faster, the next time does it."""
    for market, timeframe in store.series():
        try:
            compact(store, market, timeframe, _MANY_FILES)
        except StoreError as error:
            _log.info("%s", error)
