"""Damaged files of a series, fetched again.

In: what `verify` found. Out: the files set aside, their bars brought from the source, and a `FetchReport`
per file.
"""

from __future__ import annotations

from polyscale.exchange.source import Source
from polyscale.ingest.fetch import FetchReport, fetch_bars
from polyscale.market.bars import Market
from polyscale.market.timeframe import Timeframe
from polyscale.store.store import Store
from polyscale.store.upkeep import Damage, set_aside


async def mend(
    source: Source, store: Store, market: Market, timeframe: Timeframe, damages: list[Damage]
) -> list[FetchReport]:
    """Set the damaged files of a series aside and bring their bars again.

    Raises
    ------
    ExchangeError
        What the exchange answered instead of bars; the files are aside by then, and a fetch of the span
        goes on.
    StoreError
        If the store lies in an object store, or cannot be written.
    """
    await source.server_time_ms()  # nothing is moved before the exchange is known to answer
    set_aside(store, damages)
    reports = []
    for damage in damages:
        first_ms = round(damage.first_close_time.timestamp() * 1_000) - timeframe.ms
        last_ms = round(damage.last_close_time.timestamp() * 1_000)
        reports.append(await fetch_bars(source, store, market, timeframe, first_ms, last_ms))
    return reports
