"""What a run was made with: versions, threads, machine."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

_LIBRARIES = ("torch", "lightning", "polars", "numpy", "numba", "deltalake", "scipy")


def provenance(threads: int, seed: int) -> dict[str, Any]:
    """Facts for run.json and the report."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "polyscale": metadata.version("polyscale"),
        "commit": _commit(),
        "python": platform.python_version(),
        "libraries": {name: metadata.version(name) for name in _LIBRARIES},
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": threads,
        "seed": seed,
    }


def _commit() -> str | None:
    """The commit of a source checkout, with a plus if it has changes; None in an installed package."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()
