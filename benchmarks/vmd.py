"""Rolling VMD against vmdpy: the same windows of log prices, in one process, in turn.

vmdpy is far too slow for all of the windows, so it gets an evenly spread sample of them, standardised
beforehand. Ours gets the series and the rows of the same sample, and then all of the rows.
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from polyscale.exchange.bar_file import read_bar_file
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.scales.settings import VmdSettings
from polyscale.scales.vmd import rolling_vmd, vmd

REAL_BARS = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "BYBIT-PERP_BTCUSDT_5m.parquet"
NUM_WINDOWS, NUM_SAMPLED = 20_000, 400
ROUNDS, REPEATS = 5, 7
SETTINGS = VmdSettings(window=256, modes=4, tau=0.0, tol=1e-7)


def main() -> None:
    try:
        from vmdpy import VMD
    except ImportError:
        print(
            "this benchmark compares with vmdpy, which is not installed: pip install vmdpy", file=sys.stderr
        )
        sys.exit(1)
    series, source = log_prices()
    series = series[-NUM_WINDOWS - SETTINGS.window + 1 :]
    rows = np.arange(len(series) - NUM_WINDOWS, len(series))
    sample = rows[np.linspace(0, NUM_WINDOWS - 1, NUM_SAMPLED).astype(int)]
    windows = [standardised(series[row + 1 - SETTINGS.window : row + 1]) for row in sample]
    rolling_vmd(series, SETTINGS, sample[:1])  # compiles

    def reference():
        fixed = (SETTINGS.alpha, SETTINGS.tau, SETTINGS.modes, int(SETTINGS.dc), 1, SETTINGS.tol)
        return [VMD(window, *fixed) for window in windows]

    theirs, one_core, all_cores, whole = [], [], [], []
    for _ in range(ROUNDS):
        theirs.append(seconds(reference, 1))
        one_core.append(seconds(lambda: rolling_vmd(series, SETTINGS, sample, threads=1), REPEATS))
        all_cores.append(seconds(lambda: rolling_vmd(series, SETTINGS, sample), REPEATS))
        whole.append(seconds(lambda: rolling_vmd(series, SETTINGS, rows), 1))
    ratio, ratio_one = median_ratio(theirs, all_cores), median_ratio(theirs, one_core)
    print(f"{NUM_WINDOWS:,} windows of {SETTINGS.window} log prices, {SETTINGS.modes} modes: {source}")
    print(f"vmdpy on {NUM_SAMPLED} of them, evenly spread; medians of {ROUNDS} alternating rounds")
    print(f"{'what':<42}{'windows':>9}{'seconds':>10}{'us/window':>12}")
    for name, spent, count in (
        ("vmdpy, one core", theirs, NUM_SAMPLED),
        ("polyscale, one core", one_core, NUM_SAMPLED),
        (f"polyscale, {os.cpu_count()} cores", all_cores, NUM_SAMPLED),
        (f"polyscale, {os.cpu_count()} cores", whole, NUM_WINDOWS),
    ):
        middle = statistics.median(spent)
        print(f"{name:<42}{count:>9,}{middle:>10.4f}{middle / count * 1e6:>12.1f}")
    ratio_whole = median_ratio(theirs, whole) * NUM_WINDOWS / NUM_SAMPLED
    print(f"{'ratio on the same windows, one core':<42}{ratio_one:>9.0f}")
    print(f"{'ratio on the same windows, all cores':<42}{ratio:>9.0f}")
    print(f"{'ratio per window, theirs sampled, ours all':<42}{ratio_whole:>9.0f}")
    figures = compare(reference(), series, sample)
    for name, figure in figures.items():
        print(f"{name.replace('_', ' '):<42}{figure:>9.3g}")
    print(json.dumps({"ratio": round(ratio, 1), "ratio_one_core": round(ratio_one, 1), **figures}))


def log_prices() -> tuple[np.ndarray, str]:
    if REAL_BARS.exists():
        return logs(read_bar_file(REAL_BARS, Timeframe(5), "open").bars), "real BTC, five-minute bars"
    return logs(simulate_bars(SimulationSettings(days=75, seed=1))), "a simulated market, no real bars here"


def logs(bars) -> np.ndarray:
    return np.log(bars["close"].to_numpy())


def standardised(window):
    return (window - window.mean()) / window.std()


def seconds(work, repeats: int) -> float:
    """Median of some calls."""
    found = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        found.append(time.perf_counter() - begin)
    return statistics.median(found)


def median_ratio(slow: list[float], fast: list[float]) -> float:
    return statistics.median(np.array(slow) / np.array(fast))


def compare(references, series, sample) -> dict[str, float]:
    """Share of windows with the same number of iterations, and the largest differences over all windows."""
    rows = rolling_vmd(series, SETTINGS, sample)
    equal, values, modes, frequencies = [], [], [], []
    for (theirs, _, history), row in zip(references, sample, strict=True):
        order = np.argsort(history[-1], kind="stable")
        ours = vmd(series[row + 1 - SETTINGS.window : row + 1], SETTINGS, standardised=True)
        equal.append(rows.iterations[row] == len(history))
        values.append(np.abs(rows.value[row] - theirs[order, -1]).max())
        modes.append(np.abs(ours.modes - theirs[order]).max())
        frequencies.append(np.abs(rows.frequency[row] - history[-1][order]).max())
    return {
        "share_of_equal_iterations": float(np.mean(equal)),
        "mean_iterations": float(rows.iterations[sample].mean()),
        "largest_difference_of_last_values": float(max(values)),
        "largest_difference_of_modes": float(max(modes)),
        "largest_difference_of_frequencies": float(max(frequencies)),
    }


if __name__ == "__main__":
    main()
