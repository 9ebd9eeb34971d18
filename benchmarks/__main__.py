"""``python -m benchmarks NAME``, or ``all``; `forecasters` and `hyperparameters` take options of their own.

``all`` leaves `hyperparameters` out: 38 trainings, which say nothing of speed.
"""

import importlib
import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

NAMES = (
    *("startup", "stages", "features", "catalogue", "wavelet", "vmd", "store", "replay"),
    *("train", "learn", "infer", "stream", "lookback", "forecasters", "backtest"),
)
ALONE = ("hyperparameters",)
WITH_OPTIONS = ("forecasters", "hyperparameters")


def main() -> int:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    known = (*NAMES, *ALONE, "all")
    if name not in known or (len(sys.argv) > 2 and name not in WITH_OPTIONS):
        print(f"usage: python -m benchmarks {{{'|'.join(known)}}}", file=sys.stderr)
        return 2
    for each in NAMES if name == "all" else [name]:
        importlib.import_module(f"benchmarks.{each}").main()
    return 0


sys.exit(main())
