"""What the store holds of a category -> what the exchange plays.

In: a store, a venue, a category, symbols. Out: frames of bars per market and timeframe, and of funding.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from polyscale.market.bars import Market
from polyscale.market.errors import NotStoredError
from polyscale.market.timeframe import Timeframe
from polyscale.store.store import Store

Bars = dict[tuple[Market, Timeframe], pl.DataFrame]
Funding = dict[Market, pl.DataFrame]


def read_stored(store: Store, venue: str, category: str, symbols: Sequence[str] = ()) -> tuple[Bars, Funding]:
    """Read every stored series of a venue's category, of some symbols if any are named.

    Raises
    ------
    NotStoredError
        If there is no bar, or none of a symbol that was named.
    """
    bars: Bars = {}
    for row in store.contents().to_dicts():
        wanted = not symbols or row["symbol"] in symbols
        if (row["venue"], row["category"]) == (venue, category) and wanted:
            market, timeframe = Market(venue, category, row["symbol"]), Timeframe.parse(row["timeframe"])
            bars[market, timeframe] = store.read_bars(market, timeframe)
    markets = {market for market, _ in bars}
    found = {market.symbol for market in markets}
    missing = [symbol for symbol in symbols if symbol not in found]
    if missing or not found:
        raise NotStoredError(
            f"the store must hold bars of {venue}/{category}"
            + (f" {', '.join(missing)}" if missing else "")
            + f" to play them, got {', '.join(sorted(found)) or 'nothing'} ({store.root}); `polyscale bars` "
            f"shows what is there, `polyscale import` brings in more"
        )
    return bars, {market: funding for market in markets if (funding := _funding(store, market)) is not None}


def _funding(store: Store, market: Market) -> pl.DataFrame | None:
    try:
        return store.read_funding(market)
    except NotStoredError:
        return None  # spot has none, and a contract's may not have been brought in
