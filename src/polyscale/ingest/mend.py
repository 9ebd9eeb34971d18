"""Damaged files of a store, mended: their rows are brought again before they are moved away.

In: what `verify` found, and the exchange that the bars came from. Out: how many rows of each damage could
not be brought back. One damage at a time: what cannot be mended stays where it is, and stops nothing else.

Bars and funding are fetched again; notes of absent bars are simply dropped, for the next fetch asks and notes
them again; of order rules, quarantined rows and revisions what is still sound is kept. Pins are never moved:
nothing can tell again what runs have read, and while they cannot be read nothing is vacuumed.
"""

from __future__ import annotations

from contextlib import aclosing

import polars as pl

from polyscale.exchange.bybit_client import BybitClient
from polyscale.exchange.errors import ExchangeError
from polyscale.exchange.source import windows_of
from polyscale.market.bars import BAR_SCHEMA, Market
from polyscale.market.instant import ms_of
from polyscale.market.timeframe import Timeframe
from polyscale.store.layout import ABSENT, BARS, FUNDING, ORDER_RULES, PINS
from polyscale.store.store import Store
from polyscale.store.upkeep import Damage, replace_file


async def mend(client: BybitClient, store: Store, damages: list[Damage]) -> dict[Damage, tuple[int, str]]:
    """Mend what can be mended.

    Returns
    -------
    dict
        For each damage, the rows that are lost or still missing, and why; 0 and nothing where all is well.

    Raises
    ------
    StoreError
        If the store lies in an object store, or cannot be written.
    """
    outcome = {}
    for damage in damages:
        try:
            outcome[damage] = await _mend_one(client, store, damage)
        except ExchangeError as error:
            outcome[damage] = damage.num_rows, f"left where it is: {error}"
    return outcome


async def _mend_one(client: BybitClient, store: Store, damage: Damage) -> tuple[int, str]:
    if damage.table == PINS.name:
        return damage.num_rows, "left where it is: pins cannot be made again; restore it from a backup"
    rows = None
    if damage.table in (BARS.name, FUNDING.name):
        names, *timeframe = damage.series.split(" ")
        market = Market(*names.split("/"))
        if market.venue != client.venue:
            return damage.num_rows, f"left where it is: {client.venue} has no bars of {market.venue}"
        rows = await _fetched(client, market, timeframe, damage)
        if rows.is_empty():
            return damage.num_rows, f"left where it is: {client.venue} has none of its rows any more"
    num_back = replace_file(store, damage, rows)
    num_lost = 0 if damage.table == ABSENT.name else max(damage.num_rows - num_back, 0)
    remedy = "; polyscale fetch brings what holds now" if damage.table == ORDER_RULES.name else ""
    return num_lost, f"{num_lost} rows could not be had again{remedy}" if num_lost else ""


async def _fetched(client: BybitClient, market: Market, timeframe: list[str], damage: Damage) -> pl.DataFrame:
    """What the exchange has of the span of a damage."""
    first_ms, last_ms = ms_of(damage.first), ms_of(damage.last)
    if not timeframe:
        return await client.funding(market, first_ms, last_ms + 1)
    parsed = Timeframe.parse(timeframe[0])
    windows = windows_of(parsed, first_ms - parsed.ms, last_ms, client.page_bars)
    async with aclosing(client.pages(market, parsed, windows)) as pages:
        return pl.concat([BAR_SCHEMA.to_frame(), *[page.bars async for page in pages]])
