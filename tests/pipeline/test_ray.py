"""The same walk-forward on a real Ray cluster of two nodes: the same numbers to the last bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.numpy import load_file

from tests.pipeline.walk_market import run_walk, walk_config

ROOT = Path(__file__).parents[2]


def test_two_nodes_give_the_same_bits_as_this_machine_alone(tmp_path):
    local, found = run_walk(tmp_path / "local", walk_config(seeds=1))
    (tmp_path / "ray").mkdir()
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/pipeline/walk_on_ray.py"), str(tmp_path / "ray")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_worker_niceness": "0"},  # 15 starves beside tests
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    told = json.loads(done.stdout.strip().splitlines()[-1])
    assert told["nodes"] == 2
    assert told["threads"] == ["1"]
    there = Path(told["evaluation"])
    again = json.loads((there / "evaluation.json").read_text())
    assert {**again, "seconds": 0} == {**found, "seconds": 0}
    files = [p.relative_to(local.path) for p in local.path.glob("tasks/**/*.parquet")]
    assert len(files) == 2 * 5 * 2
    for name in files:
        assert pl.read_parquet(local.path / name).equals(pl.read_parquet(there / name))
    weights = [p.relative_to(local.path) for p in local.path.glob("tasks/**/*.safetensors")]
    assert len(weights) == 2
    for name in weights:
        ours, theirs = load_file(local.path / name), load_file(there / name)
        assert all(np.array_equal(ours[key], theirs[key]) for key in ours)
