"""A year of one-minute bars from a played exchange on loopback into the store and back.

Exchange, fetch and reader are processes of their own; the fetch is the command as a user runs it.
"""

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
from polyscale.store.store import Store

NUM_BARS = 525_600
MARKET, M1 = Market("bybit", "linear", "BTCUSDT"), Timeframe(1)
READ_RUNS = 25


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        source = make_source(root)
        with played(root) as exchange:
            url = json.loads(exchange.stdout.readline())["url"]
            first, second = fetch(root, url), fetch(root, url)
            exchange.terminate()
        assert first["told"]["new"] == NUM_BARS, first
        assert (second["told"]["new"], second["told"]["revised"]) == (0, 0), second
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
    print(f"{'second fetch, no row moved':<44}{second['seconds']:>12.2f} s")
    print(
        f"{'read, checksums and contract checked, warm':<44}{NUM_BARS / read_s / 1e6:>12.1f} million rows/s"
    )
    print(json.dumps(figures))


def make_source(root: Path) -> pl.DataFrame:
    """Bars with few decimals, as an exchange has them."""
    bars = simulate_bars(SimulationSettings(days=365, timeframe=M1, seed=1))
    prices = [pl.col(name).round(2) for name in ("open", "high", "low", "close")]
    bars = bars.with_columns(*prices, pl.col("volume").round(3), pl.col("turnover").round(4))
    bars.rename({"close_time": "time"}).write_parquet(root / "source.parquet")
    return bars


def played(root: Path) -> subprocess.Popen[str]:
    """The exchange, whose time stands at the end of the bars."""
    words = ["replay", "--file", str(root / "source.parquet"), "--symbol", "BTCUSDT", "--timeframe", "1m"]
    words += ["--label", "close", "--port", "0", "--json"]
    return subprocess.Popen([sys.executable, "-m", "polyscale", *words], stdout=subprocess.PIPE, text=True)


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
