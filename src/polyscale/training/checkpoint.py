"""Lightning's checkpoints without pickle: tensors in safetensors, the rest in JSON beside them.

A checkpoint ``last.ckpt`` is a folder with ``tensors.safetensors`` and ``state.json``; it is written under
another name first and then put in place, so that a kill leaves the old one or the new one.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import CheckpointIO
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from polyscale.market.errors import RunError

_TENSORS, _STATE = "tensors.safetensors", "state.json"


class PlainCheckpointIO(CheckpointIO):
    """Writes and reads nested dicts, lists, numbers, text and tensors; refuses anything else."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint folder in one move."""
        target = Path(path)
        tensors: dict[str, torch.Tensor] = {}
        state = _encode(checkpoint, "checkpoint", tensors)
        fresh, old = target.with_name(target.name + ".new"), target.with_name(target.name + ".old")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        save_file(tensors, fresh / _TENSORS)
        (fresh / _STATE).write_text(json.dumps(state))
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            target.rename(old)
        fresh.rename(target)
        shutil.rmtree(old, ignore_errors=True)

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> Any:
        """Read a checkpoint folder; the old one if a kill came between the two moves."""
        target = Path(path)
        if not target.exists():
            target = target.with_name(target.name + ".old")
        try:
            state = json.loads((target / _STATE).read_text())
            found = _decode(state, load_file(target / _TENSORS))
        except (OSError, ValueError, KeyError, TypeError, StopIteration, SafetensorError) as error:
            raise RunError(
                f"{path}: a checkpoint must be readable, got {error!r}; train again with --config"
            ) from error
        return found

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint folder."""
        shutil.rmtree(path, ignore_errors=True)


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
