"""``python -m benchmarks NAME``, or ``all``."""

import importlib
import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

NAMES = (
    *("startup", "stages", "features", "catalogue", "wavelet", "vmd", "store", "replay"),
    *("train", "learn", "infer", "stream", "lookback"),
)


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1] not in (*NAMES, "all"):
        print(f"usage: python -m benchmarks {{{'|'.join((*NAMES, 'all'))}}}", file=sys.stderr)
        return 2
    for name in NAMES if sys.argv[1] == "all" else sys.argv[1:]:
        importlib.import_module(f"benchmarks.{name}").main()
    return 0


sys.exit(main())
