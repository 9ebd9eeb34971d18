"""The past-only wavelet transform of a year of one-minute bars, beside PyWavelets' stationary transform.

The latter is circular and reads the future: it is here for its speed only.
"""

import json
import statistics
import time

import numpy as np
import pywt

from polyscale.scales.settings import WaveletSettings
from polyscale.scales.wavelet import modwt, reach

NUM_BARS, LEVELS, RUNS = 525_600, 6, 9
FILTERS = ("haar", "db4", "sym8", "db20", "dmey")


def main() -> None:
    series = np.random.default_rng(1).normal(size=NUM_BARS).cumsum()
    whole = series[: NUM_BARS // 2**LEVELS * 2**LEVELS]  # swt takes multiples of 2^levels only
    spent = {}
    print(f"{NUM_BARS:,} bars, {LEVELS} levels, medians of {RUNS} runs, one thread")
    print(f"{'filter':<10}{'reach, bars':>12}{'seconds':>10}{'pywt.swt':>10}")
    for name in FILTERS:
        settings = WaveletSettings(wavelet=name, levels=LEVELS)
        modwt(series[:1_000], settings)  # compiles
        spent[name] = seconds(lambda settings=settings: modwt(series, settings))
        theirs = seconds(lambda name=name: pywt.swt(whole, name, level=LEVELS, trim_approx=True))
        print(f"{name:<10}{reach(settings):>12,}{spent[name]:>10.4f}{theirs:>10.4f}")
    print(json.dumps({"seconds": round(spent["db4"], 4)}))


def seconds(work) -> float:
    found = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        work()
        found.append(time.perf_counter() - begin)
    return statistics.median(found)


if __name__ == "__main__":
    main()
