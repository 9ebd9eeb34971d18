"""Bars from the exchange in one call: what the store lacks is fetched, then the span is read."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from polyscale.exchange.bybit_client import BybitClient, bybit_url, venue_of
from polyscale.ingest.fetch import FetchReport, fetch_bars, fetch_order_rules
from polyscale.ingest.spans import Span, read_instant_ms
from polyscale.market.bars import Market
from polyscale.market.instant import ms_of, time_of
from polyscale.market.timeframe import Timeframe
from polyscale.store.store import Store

_DAYS = 30.0


def fetch(
    symbol: str,
    timeframe: str,
    *,
    days: float | None = None,
    since: str | date | datetime | None = None,
    until: str | date | datetime | None = None,
    category: str = "linear",
    url: str | None = None,
    venue: str | None = None,
    store: str | Path = "store",
) -> pl.DataFrame:
    """Bring closed bars of a market from Bybit into the store, and read them.

    Only what the store lacks is asked for, and which sizes of orders are taken now. `polyscale bars --gaps`
    and the ledger say why a bar is missing.

    Parameters
    ----------
    days
        So many days up to ``until``; 30 if neither this nor ``since`` is given.
    since
        Instant, date or ISO text, in UTC where no zone is named; instead of ``days``.
    until
        The same; absent: the exchange's now.
    category
        ``linear``, ``inverse`` or ``spot``.
    url
        Another address; absent: POLYSCALE_BYBIT_URL of the environment, else Bybit.
    venue
        The name under which its bars are kept; absent: that of the address, if it is a known one.

    Returns
    -------
    polars.DataFrame
        The stored bars of the span, in the contract of bars; see `read_bars`.

    Raises
    ------
    ExchangeError, ConfigError, StoreError
        Each names what was asked and what came.
    NotStoredError
        If the exchange has no bar in the span.
    """
    address = url or bybit_url()
    market, parsed = Market(venue or venue_of(address), category, symbol.upper()), Timeframe.parse(timeframe)
    span = Span(_instant_ms(since), _instant_ms(until), days, _DAYS)
    held = Store(store)

    async def bring() -> FetchReport:
        async with BybitClient(address, venue=market.venue) as client:
            now_ms = await client.server_time_ms()
            report = await fetch_bars(client, held, market, parsed, *span.ends_ms(now_ms, parsed))
            await fetch_order_rules(client, held, market, now_ms)
            return report

    report = _run(bring())
    start = time_of(ms_of(report.first_close) - parsed.ms)
    return held.read_bars(market, parsed, start=start, end=report.last_close)


def _instant_ms(instant: str | date | datetime | None) -> int | None:
    return read_instant_ms(instant.isoformat() if isinstance(instant, date) else instant)


def _run(work: Coroutine[Any, Any, FetchReport]) -> FetchReport:
    """Run to the end, in a thread of its own where a loop is running already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    with closing(loop), ThreadPoolExecutor(1) as pool:
        done = pool.submit(loop.run_until_complete, task)
        try:
            return done.result()
        except KeyboardInterrupt:
            loop.call_soon_threadsafe(task.cancel)  # else the thread would fetch on to the end
            raise
