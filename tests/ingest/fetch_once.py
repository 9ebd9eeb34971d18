"""A fetch in a process of its own: ``python -m tests.ingest.fetch_once URL STORE FIRST END [recheck]``."""

import asyncio
import sys

from polyscale.exchange.bybit_client import BybitClient
from polyscale.exchange.bybit_http import BybitSettings
from polyscale.ingest.fetch import fetch_bars
from polyscale.market.bars import Market
from polyscale.market.timeframe import Timeframe
from polyscale.store.store import Store

BTC, M1 = Market("bybit", "linear", "BTCUSDT"), Timeframe(1)


async def main(url, store, first_ms, end_ms, recheck=""):
    settings = BybitSettings(attempts=20, backoff_s=0.05, max_backoff_s=0.5, concurrency=8)
    async with BybitClient(url, settings) as client:
        await fetch_bars(
            client,
            Store(store),
            BTC,
            M1,
            int(first_ms),
            int(end_ms),
            batch_bars=2_000,
            recheck=bool(recheck),
        )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
