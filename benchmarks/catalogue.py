"""Every feature of the catalogue but VMD's, a million one-minute bars, four scales: seconds and peak memory.

Funding and another symbol's market are joined as a run does it; the table that comes out is kept whole.
"""

import json
import statistics
import time
from pathlib import Path

import numpy as np
import polars as pl

from polyscale.features.catalogue import CATALOGUE, GROUPS
from polyscale.features.context import add_context, market_level
from polyscale.features.feature import compute_scales, select
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.scales.ladder import build_scales
from polyscale.scales.settings import ScaleSettings

NUM_BARS = 1_000_000
SCALES = ("1m", "5m", "1h", "1d")
ROUNDS = 3


def main() -> None:
    names = [feature.name for group, found in GROUPS.items() if group != "vmd" for feature in found]
    bars, other = (minutes(seed) for seed in (1, 2))
    funding = settlements(bars)
    run(bars.head(100_000), funding, other.head(100_000), names)  # compiles
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of making the bars
    before, spent = status_mb("VmRSS"), []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        frames = run(bars, funding, other, names)
        spent.append(time.perf_counter() - begin)
        rows = sum(frame.height for frame in frames)
        del frames
    seconds, peak = statistics.median(spent), status_mb("VmHWM")
    print(f"{len(names)} features, {NUM_BARS:,} one-minute bars, scales {', '.join(SCALES)}: {rows:,} rows")
    print(f"median of {ROUNDS}: {seconds:.2f} s, {rows * len(names) / seconds / 1e6:.0f} million values/s")
    print(f"peak {peak:,.0f} MB of the whole process, of which bars and libraries {before:,.0f} MB")
    print(json.dumps({"seconds": round(seconds, 3), "peak_mb": round(peak)}))


def run(
    bars: pl.DataFrame, funding: pl.DataFrame, other: pl.DataFrame, names: list[str]
) -> list[pl.DataFrame]:
    chosen, level = select(names, CATALOGUE), market_level({"OTHER": other}, Timeframe(1), 0)
    settings = [ScaleSettings(timeframe=text, lookback=1) for text in SCALES]
    scales = build_scales(bars, Timeframe(1), settings, 0)
    return compute_scales(
        [(chosen, add_context(scale.bars, funding, level), scale.settings.timeframe) for scale in scales]
    )


def minutes(seed: int) -> pl.DataFrame:
    days = NUM_BARS // 1_440 + 1
    return simulate_bars(SimulationSettings(days=days, timeframe=Timeframe(1), seed=seed)).head(NUM_BARS)


def settlements(bars: pl.DataFrame) -> pl.DataFrame:
    times = bars["close_time"].gather_every(480)
    return pl.DataFrame({"time": times, "funding_rate": 1e-4 * np.sin(np.arange(len(times)))})


def status_mb(name: str) -> float:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(name))
    return int(line.split()[1]) / 1_024


if __name__ == "__main__":
    main()
