"""``python -m benchmarks NAME``, or ``all``; `forecasters` takes options of its own."""

import importlib
import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

NAMES = (
    *("startup", "stages", "features", "catalogue", "wavelet", "vmd", "store", "replay"),
    *("train", "learn", "infer", "stream", "lookback", "forecasters", "backtest"),
)


def main() -> int:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in (*NAMES, "all") or (len(sys.argv) > 2 and name != "forecasters"):
        print(f"usage: python -m benchmarks {{{'|'.join((*NAMES, 'all'))}}}", file=sys.stderr)
        return 2
    for each in NAMES if name == "all" else [name]:
        importlib.import_module(f"benchmarks.{each}").main()
    return 0


sys.exit(main())
