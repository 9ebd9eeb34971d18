"""Bars of a span from a source into the store: only what is missing, whatever cut the last attempt off.

In: a source, a store, a series and a span. Out: the bars in the store, every hole explained, rows that
broke a rule set aside, and a `FetchReport`. What was fetched is the store itself: there is no other state,
so a fetch that was killed goes on where the stored bars end, and a second one asks for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import polars as pl

from polyscale.exchange.bybit_client import BybitClient
from polyscale.exchange.bybit_errors import BadRequestError
from polyscale.exchange.source import Page, Source, Window
from polyscale.ingest.absence import Facts, absent_runs, around, windows_with_absent
from polyscale.ingest.plan import plan_windows
from polyscale.market.bars import BAR_SCHEMA, Market
from polyscale.market.errors import ConfigError
from polyscale.market.timeframe import Timeframe
from polyscale.store.gaps import GapKind
from polyscale.store.layout import ABSENT, QUARANTINE
from polyscale.store.ledger import gaps, write_absent, write_quarantine
from polyscale.store.store import Store, WriteResult
from polyscale.store.upkeep import compact

BATCH_BARS: Final = 50000  # bars of one commit: half a minute of pages at most is lost by a kill
_MANY_FILES: Final = 64  # a series of more files is rewritten as few
_HISTORY_MS: Final = 1_483_228_800_000  # 2017-01-01: before any market of these exchanges


@dataclass
class FetchReport:
    """What a fetch did, and how the span stands after it."""

    market: Market
    timeframe: Timeframe
    first_close: datetime
    last_close: datetime
    inserted: int = 0
    updated: int = 0
    quarantined: int = 0
    gaps: pl.DataFrame = field(default_factory=pl.DataFrame)  # of the span, see `gaps_in`

    @property
    def stored(self) -> int:
        """Bars of the span that are stored now."""
        span_ms = (self.last_close - self.first_close).total_seconds() * 1_000
        return round(span_ms / self.timeframe.ms) + 1 - int(self.gaps["missing_bars"].sum())


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
    """Bring every bar that opens at or after ``start_ms`` and closes by ``end_ms`` and the server's time.

    Parameters
    ----------
    progress
        Called with pages done and pages in all.
    batch_bars
        How many bars are written at once.
    recheck
        Ask again for bars that the exchange did not have when it was asked.

    Raises
    ------
    ExchangeError
        What the exchange answered instead of bars; pages that came before are stored.
    ConfigError
        If no bar of the timeframe lies in the span, or the market cannot be asked for.
    StoreError
        If the store cannot be written.
    """
    now_ms = await source.server_time_ms()
    first, last = _closes(timeframe, start_ms, min(end_ms, now_ms))
    report = FetchReport(market, timeframe, first, last)
    missing = gaps(store, market, timeframe, first, last)
    if recheck:
        missing = missing.with_columns(kind=pl.lit(GapKind.NOT_FETCHED.value))
    if (missing["kind"] == GapKind.NOT_FETCHED.value).any():
        job = _Job(source, store, report, await _facts(source, store, report, missing, now_ms))
        await job.fetch(missing, progress, batch_bars)
        missing = gaps(store, market, timeframe, first, last)
    report.gaps = missing
    return report


@dataclass
class _Job:
    """One fetch under way."""

    source: Source
    store: Store
    report: FetchReport
    facts: Facts

    async def fetch(
        self, missing: pl.DataFrame, progress: Callable[[int, int], None], batch_bars: int
    ) -> None:
        market, timeframe = self.report.market, self.report.timeframe
        from_ms = timeframe.floor_ms(self.facts.listed_day_ms or 0)
        windows = plan_windows(missing, timeframe, self.source.page_bars, from_ms)
        waiting: list[Page] = []
        num_done = 0
        async with aclosing(self.source.pages(market, timeframe, windows)) as pages:
            try:
                async for page in pages:
                    waiting.append(page)
                    num_done += 1
                    if sum(page.bars.height for page in waiting) >= batch_bars or num_done == len(windows):
                        batch, waiting = waiting, []
                        await self._keep(batch)
                        await self._explain(batch)
                    progress(num_done, len(windows))
            finally:  # the exchange failed, or a person stops us: what came is kept
                await self._keep(waiting)
        await asyncio.to_thread(compact, self.store, market, timeframe, _MANY_FILES)

    async def _keep(self, pages: list[Page]) -> None:
        """Write what came."""
        market, timeframe = self.report.market, self.report.timeframe
        bars = pl.concat([BAR_SCHEMA.to_frame(), *[page.bars for page in pages]])
        self.facts = _with_first_bar(self.facts, bars, timeframe)
        written = await asyncio.to_thread(self.store.write_bars, market, timeframe, bars)
        self.report.inserted += written.inserted
        self.report.updated += written.updated
        rejected = _rejected(pages, self.facts.asked_ms)
        self.report.quarantined += rejected.height
        await asyncio.to_thread(write_quarantine, self.store, market, timeframe, rejected)

    async def _explain(self, pages: list[Page]) -> None:
        """Note why bars did not come."""
        runs = absent_runs(pages, self.facts, await self._reference(pages))
        market, timeframe = self.report.market, self.report.timeframe
        await asyncio.to_thread(write_absent, self.store, market, timeframe, runs)

    async def _reference(self, pages: list[Page]) -> dict[Window, Page]:
        """Pages of the first reference market that the exchange knows, around windows with a missing bar."""
        timeframe = self.report.timeframe
        windows = windows_with_absent(pages, self.facts)
        wide = [around(window, timeframe, self.source.page_bars) for window in windows]
        for market in self.source.references(self.report.market) if windows else ():
            try:
                async with aclosing(self.source.pages(market, timeframe, wide)) as found:
                    return dict(zip(windows, [page async for page in found], strict=True))
            except BadRequestError:
                continue
        return {}


async def fetch_funding(
    client: BybitClient, store: Store, market: Market, start_ms: int, end_ms: int
) -> WriteResult:
    """Bring the funding rates with ``start_ms <= time < end_ms``: a few pages a year, always asked for."""
    rates = await client.funding(market, start_ms, end_ms)
    return await asyncio.to_thread(store.write_funding, market, rates)


async def _facts(
    source: Source, store: Store, report: FetchReport, missing: pl.DataFrame, now_ms: int
) -> Facts:
    """When the market was listed, if bars are missing before the first stored one; noted in the ledger."""
    times = store.close_times(report.market, report.timeframe)
    first_bar_ms = times.dt.epoch("ms")[0] - report.timeframe.ms if len(times) else None
    asked = missing.filter(pl.col("kind") == GapKind.NOT_FETCHED.value)
    if len(times) and asked["first_close_time"][0] > times[0]:
        return Facts(report.timeframe, now_ms, None, first_bar_ms)
    end_ms = int(report.last_close.timestamp() * 1_000)
    listed_ms = await source.first_day_ms(report.market, _HISTORY_MS, end_ms)
    before_ms = end_ms if listed_ms is None else listed_ms
    last_close = min(_time(report.timeframe.floor_ms(before_ms)), report.last_close)
    if report.first_close <= last_close:
        row = (report.first_close, last_close, _time(now_ms), GapKind.PRE_LISTING.value)
        run = pl.DataFrame([row], ABSENT.values, orient="row")
        write_absent(store, report.market, report.timeframe, run)
    return Facts(report.timeframe, now_ms, before_ms, first_bar_ms)


def _with_first_bar(facts: Facts, bars: pl.DataFrame, timeframe: Timeframe) -> Facts:
    if bars.is_empty():
        return facts
    first_ms = bars["close_time"].dt.epoch("ms")[0] - timeframe.ms
    known_ms = first_ms if facts.first_bar_ms is None else min(facts.first_bar_ms, first_ms)
    return replace(facts, first_bar_ms=known_ms)


def _rejected(pages: list[Page], seen_ms: int) -> pl.DataFrame:
    rows = [
        (_time(row.start_ms), _time(seen_ms), row.reason, row.raw) for page in pages for row in page.rejected
    ]
    return pl.DataFrame(rows, QUARANTINE.values, orient="row")


def _closes(timeframe: Timeframe, start_ms: int, end_ms: int) -> tuple[datetime, datetime]:
    """Close times of the first and the last bar of the span."""
    first_ms, last_ms = timeframe.ceil_ms(start_ms) + timeframe.ms, timeframe.floor_ms(end_ms)
    if first_ms > last_ms:
        raise ConfigError(
            f"the span must hold a closed bar of {timeframe}, got {_time(start_ms)} to {_time(end_ms)} "
            f"(the exchange's time at most); ask for more"
        )
    return _time(first_ms), _time(last_ms)


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)
