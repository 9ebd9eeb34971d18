"""One process of a data-parallel training; the second may die after so many epochs."""

import json
import os
import pickle
import signal
import sys
from pathlib import Path

from safetensors.torch import save_file

from polyscale.training import ranks
from polyscale.training.fit import fit
from polyscale.training.progress import LAST


def main(folder: Path, last_epoch: int | None = None) -> None:
    """Train what the folder's pickle says, or go on with it; write this process's weights."""

    def look(report):
        if report.epoch == last_epoch and not ranks.is_first():
            os.kill(os.getpid(), signal.SIGKILL)

    arguments = pickle.loads((folder / "parts").read_bytes())
    begun = ranks.from_first((folder / LAST).is_file)
    network, history = fit(*arguments, folder, resume=begun, progress=look)
    facts = {"history": json.dumps([vars(report) for report in history])}
    save_file(network.state_dict(), folder / f"out.{ranks.rank()}", metadata=facts)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
