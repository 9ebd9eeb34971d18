"""What importing the package costs, in processes of their own; the interpreter's own start taken off."""

import json
import statistics
import subprocess
import sys
import time

RUNS = 7


def seconds(code: str) -> float:
    """Median wall time of a fresh interpreter that runs the code."""
    found = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        found.append(time.perf_counter() - begin)
    return statistics.median(found)


def main() -> None:
    nothing = seconds("pass")
    costs = {
        "import_seconds": seconds("import polyscale") - nothing,
        "import_polars_seconds": seconds("import polars") - nothing,
        "load_run_seconds": seconds("import polyscale; polyscale.load_run") - nothing,
    }
    print(f"{'what':<28}{'seconds':>10}")
    for name, cost in costs.items():
        print(f"{name.removesuffix('_seconds'):<28}{cost:>10.3f}")
    print(json.dumps({name: round(cost, 4) for name, cost in costs.items()}))


if __name__ == "__main__":
    main()
