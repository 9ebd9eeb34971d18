"""What a walk-forward keeps: one folder per task, put in place whole, so that a folder is a task done.

``run.json`` and ``config.yaml`` are as of a run; ``tasks/KIND/NAME/FOLD/COHORT/seed-N/`` holds ``task.json``,
``SYMBOL.parquet`` and, of networks, the model; ``evaluation.json`` and ``report.html`` come at the end.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from polyscale.market.forecast import Forecast
from polyscale.pipeline.walk.plan import BASELINE, Task
from polyscale.pipeline.walk.task import Done, LogVariances
from polyscale.runs.folder import RunFolder
from polyscale.training.model_file import save_model

_DONE = "task.json"


def is_done(folder: RunFolder, task: Task) -> bool:
    """Whether the task's results are there."""
    return (_place(folder, task) / _DONE).is_file()


def keep(folder: RunFolder, task: Task, done: Done) -> None:
    """Write a task's results under another name, then move them in place."""
    place = _place(folder, task)
    fresh = place.with_name(place.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for symbol, forecast in done.forecasts.items():
        forecast.write_parquet(fresh / f"{symbol}.parquet")
    for symbol, said in done.said.items():
        columns = {f"h{i}": said.values[:, i] for i in range(said.values.shape[1])}
        pl.DataFrame({"time_ms": said.time_ms, **columns}).write_parquet(fresh / f"{symbol}.parquet")
    if done.model is not None:
        save_model(done.model, fresh)
    about: dict[str, Any] = {"seconds": round(done.seconds, 3)}
    if done.model is not None and done.tail is not None:
        about["history"] = [asdict(report) for report in done.history]
        about["base_quantiles"] = done.model.network.heads.base_quantiles.double().tolist()
        about["tail"] = done.tail.tolist()
    (fresh / _DONE).write_text(json.dumps(about, indent=1) + "\n")
    shutil.rmtree(place, ignore_errors=True)
    fresh.rename(place)


def kept_forecast(folder: RunFolder, task: Task, symbol: str) -> Forecast | None:
    """A network's forecast of a symbol, None if the fold has none."""
    path = _place(folder, task) / f"{symbol}.parquet"
    return Forecast.read_parquet(path) if path.is_file() else None


def kept_said(folder: RunFolder, task: Task, symbol: str) -> LogVariances | None:
    """A baseline's log variances of a symbol, None if the fold has none."""
    assert task.kind == BASELINE
    path = _place(folder, task) / f"{symbol}.parquet"
    if not path.is_file():
        return None
    frame = pl.read_parquet(path)
    values = frame.drop("time_ms").to_numpy()
    return LogVariances(frame["time_ms"].to_numpy(), np.ascontiguousarray(values))


def kept_facts(folder: RunFolder, task: Task) -> dict[str, Any]:
    """What task.json says: ``seconds`` of the fit; of networks ``base_quantiles`` [H, Q] and ``tail`` [H]."""
    facts: dict[str, Any] = json.loads((_place(folder, task) / _DONE).read_text())
    return facts


def _place(folder: RunFolder, task: Task) -> Path:
    return folder.path / "tasks" / task.path
