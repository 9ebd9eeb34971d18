"""One training in a process of its own, which may kill itself at a given place: what tests of kills start."""

import os
import pickle
import signal
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from safetensors.torch import save_file

from polyscale.training import checkpoint
from polyscale.training.fit import fit
from polyscale.training.module import TrainingModule
from polyscale.training.progress import LAST


def train(parts: Path, folder: Path, out: Path, place: str | None = None, after: int = 0) -> None:
    """Begin a training, or go on with it where there is a checkpoint; write its weights.

    Parameters
    ----------
    parts
        A pickle of the arguments of `fit` up to the seed.
    place, after
        Where to die, and how often to pass that place before.
    """
    arguments = pickle.loads(parts.read_bytes())
    if place is not None:
        PLACES[place](_dying(after))
    network, history = fit(*arguments, folder, resume=(folder / LAST).is_file())
    save_file(network.state_dict(), out, metadata={"history": repr(history)})


def _dying(after: int) -> Callable[[], None]:
    left = [after]

    def pass_by() -> None:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    return pass_by


def _before(owner: object, name: str) -> Callable[[Callable[[], None]], None]:
    """Die at the door of a function."""

    def put(pass_by: Callable[[], None]) -> None:
        inner = getattr(owner, name)

        def dying(*args, **more):
            pass_by()
            return inner(*args, **more)

        patch.object(owner, name, dying).start()

    return put


def _half_written(pass_by: Callable[[], None]) -> None:
    """Die with half of a checkpoint's bytes on disk."""
    inner = checkpoint.save_file

    def dying(tensors, path, **more):
        inner(tensors, path, **more)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        pass_by()
        path.write_bytes(whole)

    patch.object(checkpoint, "save_file", dying).start()


PLACES = {
    "step": _before(TrainingModule, "training_step"),
    "optimiser": _before(TrainingModule, "configure_gradient_clipping"),
    "validation": _before(TrainingModule, "validation_step"),
    "writing": _half_written,
    "putting in place": _before(checkpoint.os, "fsync"),
    "epoch begins": _before(TrainingModule, "on_train_epoch_start"),
}
