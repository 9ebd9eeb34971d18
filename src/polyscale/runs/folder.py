"""Run folders: ``runs/<id>/`` with all that a run was made of and what came out.

    run.json            state, versions, data version, seed
    config.yaml         the whole config, defaults written out
    model.json, model.safetensors
    checkpoints/        only while a training has not ended
    history.json        losses per epoch
    forecasts/SYMBOL.parquet, ledger/SYMBOL.parquet
    metrics.json        every figure
    report.html

This file knows names and how to read and write them whole; what they mean is known above.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from polyscale.market.errors import RunError

FORMAT = 1  # of the folder; a newer one is refused


class State(StrEnum):
    """How far a run has come."""

    TRAINING = "training"
    TRAINED = "trained"
    COMPLETE = "complete"


@dataclass(frozen=True)
class RunFolder:
    """One run on disk."""

    path: Path

    @classmethod
    def create(cls, root: Path, name: str, config: str, about: dict[str, Any]) -> RunFolder:
        """Make a new folder with its config and what is known before training."""
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        for attempt in range(1_000):
            path = root / (f"{name}-{stamp}" + (f"-{attempt}" if attempt else ""))
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise RunError(
                    f"{root}: runs need a folder that can be written ({error}); give another --runs"
                ) from error
            folder = cls(path)
            folder.write_text("config.yaml", config)
            folder.write_json("run.json", {"format": FORMAT, "state": State.TRAINING.value, **about})
            return folder
        raise RunError(f"{root}: no free name for a run at {stamp}; remove old runs")

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open an existing folder.

        Raises
        ------
        RunError
            If it is no run folder, damaged, or of a newer format.
        """
        if not (path / "run.json").is_file():
            raise RunError(
                f"{path}: a run folder must hold run.json, found none; `polyscale runs` lists the runs"
            )
        folder = cls(path)
        found = folder.about.get("format")
        if not isinstance(found, int) or found < 1:
            raise RunError(
                f"{path}/run.json: format must be a number >= 1, got {found!r}; the folder is damaged"
            )
        if found > FORMAT:
            raise RunError(
                f"{path}: run format must be <= {FORMAT}, got {found}; update polyscale to read it"
            )
        return folder

    @property
    def name(self) -> str:
        """The run's id."""
        return self.path.name

    @property
    def about(self) -> dict[str, Any]:
        """What run.json says."""
        about = self.read_json("run.json")
        if not isinstance(about, dict):
            raise RunError(
                f"{self.path}/run.json: must hold an object, got {type(about).__name__}; it is damaged"
            )
        return about

    @property
    def state(self) -> State:
        """How far the run has come."""
        found = self.about.get("state")
        if found not in set(State):
            raise RunError(
                f"{self.path}/run.json: state must be one of {[s.value for s in State]}, got {found!r}"
            )
        return State(found)

    def set_state(self, state: State) -> None:
        """Note how far the run has come."""
        self.write_json("run.json", {**self.about, "state": state.value})

    def write_text(self, name: str, text: str) -> Path:
        """Write a file whole: under another name first, then in place."""
        path = self.path / name
        fresh = path.with_name(path.name + ".new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(path)
        except OSError as error:
            raise RunError(f"{path}: cannot be written ({error}); make room or rights, then go on") from error
        return path

    def write_json(self, name: str, value: Any) -> Path:
        """Write JSON; NaN is refused, for other readers cannot read it."""
        return self.write_text(name, json.dumps(value, indent=1, allow_nan=False) + "\n")

    def read_text(self, name: str) -> str:
        """Read a file that a run must hold."""
        path = self.path / name
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(
                f"{path}: cannot be read ({error}); the run is damaged or has not come so far"
            ) from error

    def read_json(self, name: str) -> Any:
        """Read JSON that a run must hold."""
        try:
            return json.loads(self.read_text(name))
        except json.JSONDecodeError as error:
            raise RunError(f"{self.path / name}: must be JSON ({error}); the run is damaged") from error


def list_runs(root: Path) -> list[RunFolder]:
    """All run folders, newest first by the time in their names, damaged ones among them."""
    folders = [RunFolder(path.parent) for path in root.glob("*/run.json")] if root.is_dir() else []
    return sorted(folders, key=lambda folder: (_stamp(folder.name), folder.name), reverse=True)


def find_run(root: Path, name: str, states: Collection[State] = tuple(State)) -> RunFolder:
    """A run by its folder or a file in it, by id under ``root``, or ``last``.

    The last is the newest that has come so far; ``FOLDER/last`` the newest in another folder.

    Raises
    ------
    RunError
        If there is none.
    """
    path = Path(name)
    if path.name == "last":
        root = root if name == "last" else path.parent
        for folder in list_runs(root):
            if _readable_state(folder) in states:
                return RunFolder.open(folder.path)
        wanted = " or ".join(state.value for state in states)
        raise RunError(f"{root}: holds no run that is {wanted}; make one with `polyscale run --config ...`")
    path = path.parent if path.is_file() else path
    typed = (path / "run.json").is_file() or len(path.parts) > 1  # a path is what was typed, an id is not
    return RunFolder.open(path if typed else root / name)


def _stamp(name: str) -> str:
    """The time in a run's name, empty if it was renamed."""
    found = re.search(r"\d{8}-\d{6}(-\d+)?$", name)
    return found.group() if found else ""


def _readable_state(folder: RunFolder) -> State | None:
    try:
        return folder.state
    except RunError:
        return None
