"""Bars of a span from a source into the store: only what is missing, whatever cut the last attempt off.

In: a source, a store, a series and a span. Out: the bars in the store, holes explained as far as the exchange
tells, rows that broke a rule set aside, and a `FetchReport`. What was fetched is the store itself: there is
no other state, so a fetch that was killed goes on where the stored bars end, and a second one asks for
nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import polars as pl

from polyscale.exchange.bybit_client import BybitClient
from polyscale.exchange.errors import BadRequestError
from polyscale.exchange.source import Listed, Page, Source, Window, windows_of
from polyscale.ingest.absence import absent_runs, around, merged, windows_with_absent
from polyscale.ingest.plan import plan_windows
from polyscale.market.bars import BAR_SCHEMA, Market
from polyscale.market.errors import ConfigError, StoreError
from polyscale.market.instant import time_of
from polyscale.market.timeframe import DAY_MS, Timeframe
from polyscale.store.gaps import GapKind
from polyscale.store.layout import ABSENT, QUARANTINE
from polyscale.store.ledger import gaps, write_absent, write_quarantine
from polyscale.store.store import Store, WriteResult
from polyscale.store.upkeep import compact

BATCH_BARS: Final = 50_000  # bars that are asked for between two commits: what a kill may lose
HISTORY_MS: Final = 1_483_228_800_000  # 2017-01-01: before any market of these exchanges
_SETTLE_MS: Final = 2_000  # the last trades of a bar may come in so long after its close
_MANY_FILES: Final = 64  # a series of more files is rewritten as few
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FetchReport:
    """What a fetch did, and how the span stands after it."""

    market: Market
    timeframe: Timeframe
    first_close: datetime  # of the span, included
    last_close: datetime
    inserted: int
    updated: int
    quarantined: int  # rows that came and broke a rule
    stored: int  # bars of the span that are stored now
    gaps: pl.DataFrame  # of the span, see `gaps_in`


async def fetch_bars(
    source: Source,
    store: Store,
    market: Market,
    timeframe: Timeframe,
    start_ms: int,
    end_ms: int,
    progress: Callable[[int, int], None] = lambda done, of: None,
    batch_bars: int = BATCH_BARS,
    *,
    recheck: bool = False,
) -> FetchReport:
    """Bring every bar that opens at or after ``start_ms`` and had closed by ``end_ms``, and 2 s ago.

    Parameters
    ----------
    progress
        Called with pages done and pages in all.
    batch_bars
        How many bars are asked for between two commits.
    recheck
        Ask again for bars that the exchange did not have when it was asked.

    Raises
    ------
    ExchangeError
        What the exchange answered instead of bars; pages that came before are stored.
    ConfigError
        If no closed bar of the timeframe lies in the span, or the market cannot be asked for.
    StoreError
        If the store cannot be written.
    """
    now_ms = await source.server_time_ms()
    first, last = _closes(timeframe, max(start_ms, HISTORY_MS), min(end_ms, now_ms - _SETTLE_MS))
    missing = gaps(store, market, timeframe, first, last)
    if recheck:
        missing = missing.with_columns(kind=pl.lit(GapKind.NOT_FETCHED.value))
    job = _Job(source, store, market, timeframe, now_ms)
    if (missing["kind"] == GapKind.NOT_FETCHED.value).any():
        await job.fetch(missing, progress, batch_bars)
    left = gaps(store, market, timeframe, first, last)
    num_bars = round((last - first).total_seconds() * 1_000 / timeframe.ms) + 1
    stored = num_bars - int(left["missing_bars"].sum())
    return FetchReport(
        market, timeframe, first, last, job.inserted, job.updated, len(job.rejected_ms), stored, left
    )


async def fetch_funding(
    client: BybitClient, store: Store, market: Market, start_ms: int, end_ms: int
) -> WriteResult:
    """Bring the funding rates with ``start_ms <= time < end_ms``: a few pages a year, always asked for."""
    rates = await client.funding(market, start_ms, end_ms)
    return await asyncio.to_thread(store.write_funding, market, rates)


async def fetch_order_rules(source: Source, store: Store, market: Market, asked_ms: int) -> Listed | None:
    """Bring what the exchange demands of orders now; none where it does not list the market any more.

    What it demanded in the past, no exchange tells.
    """
    try:
        listed = await source.instrument(market)
    except BadRequestError as error:
        _log.info("%s", error)
        return None
    if listed.rules is not None:
        await asyncio.to_thread(store.write_order_rules, market, listed.rules, time_of(asked_ms))
    return listed


@dataclass
class _Job:
    """One fetch under way, and what it has brought so far."""

    source: Source
    store: Store
    market: Market
    timeframe: Timeframe
    asked_ms: int  # by the exchange's clock
    inserted: int = 0
    updated: int = 0
    rejected_ms: set[int] = field(default_factory=set)

    async def fetch(
        self, missing: pl.DataFrame, progress: Callable[[int, int], None], batch_bars: int
    ) -> None:
        """Page by page, in batches of one commit each."""
        windows = plan_windows(missing, self.timeframe, self.source.page_bars, await self._listed_ms(missing))
        waiting: list[Page] = []
        num_done = 0
        async with aclosing(self.source.pages(self.market, self.timeframe, windows)) as pages:
            try:
                async for page in pages:
                    waiting.append(page)
                    num_done += 1
                    num_bars = sum(one.window.num_bars(self.timeframe) for one in waiting)
                    if num_bars >= batch_bars or num_done == len(windows):
                        batch, waiting = waiting, []
                        await self._keep(batch)
                        await self._explain(batch)
                    progress(num_done, len(windows))
            finally:  # the exchange failed, or a person stops us: what came is kept
                await self._keep(waiting)
        try:
            await asyncio.to_thread(compact, self.store, self.market, self.timeframe, _MANY_FILES)
        except StoreError as error:  # upkeep: another writer was faster, and the next fetch does it
            _log.info("%s", error)

    async def _listed_ms(self, missing: pl.DataFrame) -> int:
        """When the first bar of the market begins, noted in the ledger; 0 where it is not needed.

        That is where no bar is missing before the first stored one.
        """
        times = self.store.close_times(self.market, self.timeframe)
        asked = missing.filter(pl.col("kind") == GapKind.NOT_FETCHED.value)
        if len(times) and asked["first_close_time"][0] > times[0]:
            return 0
        listed_ms = await self._first_start_ms()
        first, last = missing["first_close_time"][0], time_of(listed_ms)
        if listed_ms < self.asked_ms and first <= last:
            row = (first, last, time_of(self.asked_ms), GapKind.PRE_LISTING.value)
            run = pl.DataFrame([row], ABSENT.values, orient="row")
            await asyncio.to_thread(write_absent, self.store, self.market, self.timeframe, run)
        return listed_ms

    async def _first_start_ms(self) -> int:
        """Start of the first bar that the exchange has: its first day by daily candles, then within that."""
        day_ms = await self.source.first_day_ms(self.market, HISTORY_MS, self.asked_ms)
        if day_ms is None:
            return self.asked_ms  # it has no candle at all: nothing to ask for, and nothing is noted
        earlier_ms = await self.source.first_day_ms(self.market, HISTORY_MS, day_ms)
        day_ms = day_ms if earlier_ms is None else earlier_ms  # an answer may have been empty by a fault
        first_ms, end_ms = self.timeframe.floor_ms(day_ms), day_ms + DAY_MS
        windows = list(windows_of(self.timeframe, first_ms, end_ms, self.source.page_bars))
        answers = [await self._pages(self.market, windows) for _ in range(2)]  # one may be empty by a fault
        bars = [page.bars for answer in answers for page in answer.values()]
        closes = pl.concat([BAR_SCHEMA.to_frame(), *bars])["close_time"].sort().dt.epoch("ms")
        return first_ms if closes.is_empty() else int(closes[0]) - self.timeframe.ms

    async def _keep(self, pages: list[Page]) -> None:
        """Write what came."""
        bars = pl.concat([BAR_SCHEMA.to_frame(), *[page.bars for page in pages]])
        written = await asyncio.to_thread(self.store.write_bars, self.market, self.timeframe, bars)
        self.inserted += written.inserted
        self.updated += written.updated
        self.rejected_ms |= {row.start_ms for page in pages for row in page.rejected}
        self.rejected_ms -= {close_ms - self.timeframe.ms for close_ms in bars["close_time"].dt.epoch("ms")}
        rejected = _rejected(pages, self.asked_ms)
        await asyncio.to_thread(write_quarantine, self.store, self.market, self.timeframe, rejected)

    async def _explain(self, pages: list[Page]) -> None:
        """Ask once more where a bar did not come, for an answer may be empty by a fault; then note why."""
        doubtful = windows_with_absent(pages, self.timeframe, self.asked_ms)
        again = await self._pages(self.market, doubtful)
        await self._keep(list(again.values()))
        pages = [
            merged(page, again[page.window], self.timeframe) if page.window in again else page
            for page in pages
        ]
        runs = absent_runs(pages, self.timeframe, self.asked_ms, await self._reference(pages))
        await asyncio.to_thread(write_absent, self.store, self.market, self.timeframe, runs)

    async def _reference(self, pages: list[Page]) -> dict[Window, Page]:
        """Pages of the first reference market that the exchange knows, around windows with a missing bar."""
        windows = windows_with_absent(pages, self.timeframe, self.asked_ms)
        wide = [around(window, self.timeframe, self.source.page_bars) for window in windows]
        for market in self.source.references(self.market) if windows else ():
            try:
                found = await self._pages(market, wide)
            except BadRequestError:
                continue
            return dict(zip(windows, found.values(), strict=True))
        return {}

    async def _pages(self, market: Market, windows: list[Window]) -> dict[Window, Page]:
        """The pages by the windows that they were asked for."""
        async with aclosing(self.source.pages(market, self.timeframe, windows)) as pages:
            return dict(zip(windows, [page async for page in pages], strict=True))


def _rejected(pages: list[Page], seen_ms: int) -> pl.DataFrame:
    rows = [
        (time_of(row.start_ms), time_of(seen_ms), row.reason, row.raw)
        for page in pages
        for row in page.rejected
    ]
    return pl.DataFrame(rows, QUARANTINE.values, orient="row")


def _closes(timeframe: Timeframe, start_ms: int, end_ms: int) -> tuple[datetime, datetime]:
    """Close times of the first and the last bar of the span."""
    first_ms, last_ms = timeframe.ceil_ms(start_ms) + timeframe.ms, timeframe.floor_ms(end_ms)
    if first_ms > last_ms:
        raise ConfigError(
            f"the span must hold a closed bar of {timeframe}, got {time_of(start_ms)} to {time_of(end_ms)} "
            f"(the exchange's time at most); ask for more"
        )
    return time_of(first_ms), time_of(last_ms)
