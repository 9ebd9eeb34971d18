"""A year of one-minute bars from a played exchange on loopback into the store and back.

The fetch is the command as a user runs it, in a process of its own; the exchange is in this one.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

from polyscale.market.bars import Market
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.replay.exchange import ReplayExchange
from polyscale.replay.server import ReplayServer
from polyscale.store.store import Store

NUM_BARS = 525_600
MARKET, M1 = Market("bybit", "linear", "BTCUSDT"), Timeframe(1)
READ_RUNS = 25


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        source = make_source()
        first, second, num_pages = asyncio.run(fetched(root, source))
        assert first["told"]["new"] == NUM_BARS, first
        assert (second["told"]["new"], second["told"]["revised"], num_pages) == (0, 0, 0), second
        stored = Store(root / "store").read_bars(MARKET, M1)
        assert stored.equals(source), "the stored bars must equal the source to the bit"
        read_s = read_seconds(root)
    figures = {
        "fetch_seconds": round(first["seconds"], 2),
        "refetch_seconds": round(second["seconds"], 2),
        "peak_mb": round(first["peak_mb"]),
        "read_rows_per_second": round(NUM_BARS / read_s),
    }
    print(f"{'one year of one-minute bars':<44}{NUM_BARS:>12,} rows, equal to the source to the bit")
    print(f"{'fetch, with the start of the command':<44}{first['seconds']:>12.2f} s")
    print(f"{'peak memory of the fetching process':<44}{first['peak_mb']:>12.0f} MB")
    print(f"{'second fetch, no page asked for':<44}{second['seconds']:>12.2f} s")
    print(
        f"{'read, checksums and contract checked, warm':<44}{NUM_BARS / read_s / 1e6:>12.1f} million rows/s"
    )
    print(json.dumps(figures))


async def fetched(root: Path, source: pl.DataFrame) -> tuple[dict, dict, int]:
    """Two fetches from an exchange in this process, and the pages that the second one asked for."""
    settled_ms = int(source["close_time"].dt.epoch("ms")[-1]) + 60_000
    exchange = ReplayExchange({(MARKET, M1): source}, start_ms=settled_ms)
    async with ReplayServer(exchange) as server:
        first = await asyncio.to_thread(fetch, root, server.url)
        before = server.num_requests["/v5/market/kline"]
        second = await asyncio.to_thread(fetch, root, server.url)
        return first, second, server.num_requests["/v5/market/kline"] - before


def make_source() -> pl.DataFrame:
    """Bars with few decimals, as an exchange has them."""
    bars = simulate_bars(SimulationSettings(days=365, timeframe=M1, seed=1))
    prices = [pl.col(name).round(2) for name in ("open", "high", "low", "close")]
    return bars.with_columns(*prices, pl.col("volume").round(3), pl.col("turnover").round(4))


def fetch(root: Path, url: str) -> dict:
    """Run the command; wall seconds, peak memory and what it says."""
    words = ["fetch", "BTCUSDT", "--since", "2025-01-01", "--until", "2026-01-01", "--url", url]
    words += ["--venue", "bybit", "--store", str(root / "store"), "--json"]
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "polyscale", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said
    return {"seconds": seconds, "peak_mb": usage.ru_maxrss / 1_024, "told": json.loads(said)["fetched"][0]}


def read_seconds(root: Path) -> float:
    """Median of warm reads."""
    store, found = Store(root / "store"), []
    for _ in range(READ_RUNS):
        begin = time.perf_counter()
        store.read_bars(MARKET, M1)
        found.append(time.perf_counter() - begin)
    return sorted(found)[READ_RUNS // 2]


if __name__ == "__main__":
    main()
