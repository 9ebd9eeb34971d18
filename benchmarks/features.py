"""The chapter's features on five scales of a year of one-minute bars, against the chapter's own pandas code.

Both run in turn in one process, for the time; each alone in a process of its own, for the memory that it
takes on top of the bars. The chapter's code is corrected only so that it runs: ``1H`` and ``4H`` are
spelled ``1h`` and ``4h``.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl

from polyscale.features.catalogue import CATALOGUE, CHAPTER
from polyscale.features.feature import compute_scales, select
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.scales.ladder import build_scales
from polyscale.scales.settings import ScaleSettings

NUM_BARS = 525_600
SCALES = ("1m", "5m", "15m", "1h", "4h")
PANDAS_SCALES = ("1min", "5min", "15min", "1h", "4h")
ROUNDS = 25


def ours(bars: pl.DataFrame) -> list[pl.DataFrame]:
    """Five scales, one pass: frames with nulls where a row is not warm."""
    base = Timeframe(1)
    chosen = select(CHAPTER, CATALOGUE)
    scales = build_scales(bars, base, [ScaleSettings(timeframe=text, lookback=1) for text in SCALES], 0)
    return compute_scales([(chosen, scale.bars, scale.settings.timeframe) for scale in scales])


def chapters(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The chapter's `create_multi_scale_features`, line by line."""
    result = {}
    for scale in PANDAS_SCALES:
        if scale == "1min":
            resampled = frame.copy()
        else:
            resampled = (
                frame.resample(scale)
                .agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"})
                .dropna()
            )
        features = pd.DataFrame(index=resampled.index)
        features["log_return"] = np.log(resampled["close"] / resampled["close"].shift(1))
        features["return_1"] = resampled["close"].pct_change(1)
        features["return_5"] = resampled["close"].pct_change(5)
        features["return_10"] = resampled["close"].pct_change(10)
        features["volatility_5"] = features["log_return"].rolling(5).std()
        features["volatility_20"] = features["log_return"].rolling(20).std()
        features["volume_ratio"] = resampled["volume"] / resampled["volume"].rolling(20).mean()
        features["volume_change"] = resampled["volume"].pct_change()
        features["high_low_ratio"] = (resampled["high"] - resampled["low"]) / resampled["close"]
        features["close_position"] = (resampled["close"] - resampled["low"]) / (
            resampled["high"] - resampled["low"] + 1e-8
        )
        for period in [5, 10, 20, 50]:
            ma = resampled["close"].rolling(period).mean()
            features[f"ma_{period}_ratio"] = resampled["close"] / ma - 1
        delta = resampled["close"].diff()
        gain = delta.where(delta > 0, 0).rolling(14).mean()
        loss = (-delta.where(delta < 0, 0)).rolling(14).mean()
        rs = gain / (loss + 1e-8)
        features["rsi"] = 100 - (100 / (1 + rs))
        features["rsi_normalized"] = (features["rsi"] - 50) / 50
        result[scale] = features.dropna()
    return result


def year_of_minutes() -> pl.DataFrame:
    days = NUM_BARS // 1_440
    return simulate_bars(SimulationSettings(days=days, timeframe=Timeframe(1), seed=1))


def as_pandas(bars: pl.DataFrame) -> pd.DataFrame:
    """What the chapter's download gives: indexed by the open time."""
    index = pd.DatetimeIndex(bars["close_time"].to_numpy()) - pd.Timedelta(minutes=1)
    return pd.DataFrame(
        {name: bars[name].to_numpy() for name in ("open", "high", "low", "close", "volume")}, index=index
    )


def alone(program: str, folder: Path) -> float:
    """MB on top of the loaded bars at the peak, in a process of its own, after a first run on few bars."""
    command = [sys.executable, "-m", "benchmarks.features", program, str(folder)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(found.stdout)


def print_peak(program: str, bars: pl.DataFrame) -> None:
    if program == "ours":
        run, given = ours, bars
    else:
        run, given = chapters, as_pandas(bars)
        del bars
    run(given[:20_000])
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _status("VmRSS")
    kept = run(given)
    print((_status("VmHWM") - before) / 1_024)
    del kept


def _status(name: str) -> int:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(name))
    return int(line.split()[1])


def main() -> None:
    import tempfile

    bars = year_of_minutes()
    frame = as_pandas(bars)
    times: dict[str, list[float]] = {"ours": [], "pandas": []}
    for _ in range(ROUNDS + 1):
        for name, run, given in (("ours", ours, bars), ("pandas", chapters, frame)):
            begin = time.perf_counter()
            result = run(given)
            times[name].append(time.perf_counter() - begin)
            del result
    seconds = {name: min(found[1:]) for name, found in times.items()}  # the others were disturbed
    usual = {name: statistics.median(found[1:]) for name, found in times.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bars.parquet"
        bars.write_parquet(path)
        peaks = {name: alone(name, path) for name in seconds}
    print(f"the chapter's features, {NUM_BARS:,} one-minute bars, scales {', '.join(SCALES)}")
    print(f"{ROUNDS} rounds in turn; the peak is what is needed on top of the bars")
    print(f"{'':<8}{'best, s':>9}{'median, s':>11}{'peak MB':>9}")
    for name, spent in seconds.items():
        print(f"{name:<8}{spent:>9.4f}{usual[name]:>11.4f}{peaks[name]:>9.0f}")
    print("ours are the chapter's sixteen less two twins; its pandas code computes the twins as well")
    figures = {
        "ratio": seconds["pandas"] / seconds["ours"],
        "ratio_of_medians": usual["pandas"] / usual["ours"],
        "memory_ratio": peaks["ours"] / peaks["pandas"],
    }
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))


if __name__ == "__main__":
    print_peak(sys.argv[1], pl.read_parquet(sys.argv[2]))
