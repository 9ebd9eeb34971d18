"""Damaged files of bars, fetched again.

In: what `verify` found. Out: the files set aside, their bars brought from the source, how many are still
missing.
"""

from __future__ import annotations

from polyscale.exchange.source import Source
from polyscale.ingest.fetch import fetch_bars
from polyscale.market.bars import Market
from polyscale.market.instant import ms_of
from polyscale.market.timeframe import Timeframe
from polyscale.store.layout import BARS
from polyscale.store.store import Store
from polyscale.store.upkeep import Damage, set_aside


async def mend(source: Source, store: Store, damages: list[Damage]) -> dict[Damage, int]:
    """Set damaged files aside and bring their bars again; what else they held is made anew as it is needed.

    Returns
    -------
    dict
        Bars that are still missing in the span of each damage.

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
    missing = dict.fromkeys(damages, 0)
    for damage in damages:
        if damage.table == BARS.name:
            market, timeframe = _series(damage)
            first_ms, last_ms = ms_of(damage.first) - timeframe.ms, ms_of(damage.last)
            report = await fetch_bars(source, store, market, timeframe, first_ms, last_ms, recheck=True)
            missing[damage] = int(report.gaps["missing_bars"].sum())
    return missing


def _series(damage: Damage) -> tuple[Market, Timeframe]:
    names, timeframe = damage.series.split(" ")
    return Market(*names.split("/")), Timeframe.parse(timeframe)
