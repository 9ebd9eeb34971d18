"""Lightning's checkpoints without pickle: one safetensors file, its header holding the rest as JSON.

It is written under another name first and then put in place by one rename, so that a kill at any moment
leaves the old one or the new one.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from polyscale.market.errors import RunError

_STATE = "state"


class PlainCheckpointIO(CheckpointIO):
    """Writes and reads nested dicts, lists, numbers, text and tensors; refuses anything else."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint and put it in place of the one before."""
        target = Path(path)
        tensors: dict[str, torch.Tensor] = {}
        state = _encode(checkpoint, "checkpoint", tensors)
        fresh = _fresh(target)
        fresh.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, fresh, metadata={_STATE: json.dumps(state)})
        with fresh.open("rb") as written:
            os.fsync(written.fileno())
        fresh.replace(target)

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> Any:
        """Read a checkpoint."""
        try:
            with safe_open(path, framework="pt") as kept:
                tensors = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118 (no mapping)
                return _decode(json.loads(kept.metadata()[_STATE]), tensors)
        except (OSError, ValueError, KeyError, TypeError, StopIteration, SafetensorError) as error:
            raise RunError(
                f"{path}: a checkpoint must be readable, got {error!r}; train again with --config"
            ) from error

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint, and what a kill has left of a newer one."""
        for leftover in (Path(path), _fresh(Path(path))):
            if leftover.is_dir():  # of a version that wrote folders
                shutil.rmtree(leftover)
            leftover.unlink(missing_ok=True)


def _fresh(target: Path) -> Path:
    return target.with_name(target.name + ".new")


def _encode(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """JSON with tagged dicts (keys may be whole numbers), tuples and tensors."""
    if isinstance(value, torch.Tensor):
        tensors[name] = value.detach().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[key, _encode(item, f"{name}.{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_encode(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]}
    if isinstance(value, list):
        return [_encode(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a checkpoint holds plain values and tensors only, got {type(value)} at {name}")


def _decode(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if isinstance(value, dict):
        kind, content = next(iter(value.items()))
        if kind == "tensor":
            return tensors[content]
        if kind == "tuple":
            return tuple(_decode(item, tensors) for item in content)
        return {key: _decode(item, tensors) for key, item in content}
    return value
