"""A search on disk: ``searches/<id>/``.

search.json         objective, seed, jobs, where the parts end, versions, data
config.yaml         what the trials change
space.yaml          which keys, and how far
trials.json         every trial, failed ones too
best.yaml           the config with the best values: ready for `polyscale run`
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from polyscale.config.run_config import RunConfig
from polyscale.market.errors import RunError
from polyscale.pipeline.search_space import Objective, Space, Value
from polyscale.runs.folder import RunFolder

_ABOUT = "search.json"


@dataclass(frozen=True)
class Trial:
    """One training with other values; the losses are those of the epoch that is kept, None if it failed."""

    number: int  # from 1
    values: dict[str, Value]
    val_loss: float | None
    val_qlike: float | None
    epochs: int
    skipped: int  # steps that were not finite
    seconds: float
    reason: str | None = None  # why it failed

    def score(self, objective: Objective) -> float | None:
        """What is minimised."""
        return self.val_loss if objective == "val_loss" else self.val_qlike


def new_folder(root: Path, config: RunConfig, space: Space, about: dict[str, Any]) -> RunFolder:
    """Make the folder of a new search."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    for attempt in range(1_000):
        path = root / (f"{config.name}-{stamp}" + (f"-{attempt}" if attempt else ""))
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise RunError(
                f"{root}: searches need a folder that can be written ({error}); give another --searches"
            ) from error
        folder = RunFolder(path)
        folder.write_text("config.yaml", config.to_yaml())
        folder.write_text("space.yaml", _space_text(space))
        folder.write_json("trials.json", [])
        folder.write_json(_ABOUT, about)
        return folder
    raise RunError(f"{root}: no free name for a search at {stamp}; remove old searches")


def find_search(root: Path, name: str) -> RunFolder:
    """A search by path, by id under ``root``, or ``last`` for the newest.

    Raises
    ------
    RunError
        If there is none.
    """
    if name == "last":
        found = sorted(root.glob(f"*/{_ABOUT}"), key=lambda path: path.stat().st_mtime)
        if not found:
            raise RunError(
                f"{root}: holds no search; begin one with `polyscale search --config ... --space ...`"
            )
        return RunFolder(found[-1].parent)
    path = Path(name) if (Path(name) / _ABOUT).is_file() else root / name
    if not (path / _ABOUT).is_file():
        raise RunError(f"{path}: a search's folder must hold {_ABOUT}, found none; give its id, or 'last'")
    return RunFolder(path)


def read_about(folder: RunFolder) -> dict[str, Any]:
    """What search.json says."""
    about = folder.read_json(_ABOUT)
    needed = {"objective", "jobs", "ends", "data"}
    if not isinstance(about, dict) or not about.keys() >= needed:
        raise RunError(f"{folder.path / _ABOUT}: must hold {sorted(needed)}; it is damaged, search again")
    return about


def read_trials(folder: RunFolder) -> list[Trial]:
    """The trials that were kept."""
    try:
        return [Trial(**row) for row in folder.read_json("trials.json")]
    except TypeError as error:
        raise RunError(
            f"{folder.path}/trials.json: must hold trials ({error}); it is damaged, search again"
        ) from error


def write_trials(folder: RunFolder, trials: list[Trial]) -> None:
    """Keep all trials."""
    folder.write_json("trials.json", [asdict(trial) for trial in trials])


def write_best(
    folder: RunFolder, config: RunConfig, best: Trial, objective: Objective, num_trials: int
) -> None:
    """Keep the config of the best trial, with a word on how many there were."""
    head = (
        f"# Trial {best.number} of {num_trials} in the search {folder.name}: {objective} "
        f"{best.score(objective):.6f} on validation; the test was not looked at.\n"
        f"# {json.dumps(best.values)}\n"
    )
    folder.write_text("best.yaml", head + config.to_yaml())


def _space_text(space: Space) -> str:
    plain = {key: each.model_dump(mode="json", exclude_defaults=True) for key, each in space.items()}
    return yaml.safe_dump(plain, sort_keys=False)
