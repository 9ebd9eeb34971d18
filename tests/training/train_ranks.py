"""One process of a data-parallel training; the second may die after an epoch, or meet a poisoned step."""

import json
import math
import os
import pickle
import signal
import sys
from pathlib import Path

from safetensors.torch import save_file

from polyscale.training import ranks
from polyscale.training.fit import fit
from polyscale.training.module import TrainingModule
from polyscale.training.progress import LAST


def main(folder: Path, last_epoch: int = 0, poisoned_step: int = -1) -> None:
    """Train what the folder's pickle says, or go on with it; write this process's weights."""
    step = TrainingModule.training_step

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        if self.global_step == poisoned_step and not ranks.is_first():
            inputs = inputs._replace(base=inputs.base * math.nan)
        return step(self, (inputs, labels), batch_idx)

    def look(report):
        if report.epoch == last_epoch and not ranks.is_first():
            os.kill(os.getpid(), signal.SIGKILL)

    TrainingModule.training_step = training_step
    arguments = pickle.loads((folder / "parts").read_bytes())
    begun = ranks.from_first((folder / LAST).is_file)
    network, history = fit(*arguments, folder, resume=begun, progress=look)
    facts = {"history": json.dumps([vars(report) for report in history])}
    save_file(network.state_dict(), folder / f"out.{ranks.rank()}", metadata=facts)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
