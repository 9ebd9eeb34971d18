"""Training speed of neuralforecast: ``python -m benchmarks.peers.neuralforecast_speed THREADS``.

PatchTST and LSTM with their default sizes at input_size 1440, one series, no other inputs, and h=1, at which
they are fastest. What is timed is the bare step: forward, the model's own loss, backward, a step of its own
optimiser, on windows that lie in memory already. No Trainer, no loader, no cutting and no normalising of
windows: a real training of theirs has these on top. Prints one line of JSON: windows per second for each size
of batch, and the best.
"""

import json
import statistics
import sys
import time
import warnings

import torch

from polyscale.training.allocator import kept_memory

warnings.filterwarnings("ignore")  # this process times others' code and mends none of it
from neuralforecast.models import LSTM, PatchTST  # noqa: E402

LOOKBACK, HORIZON = 1_440, 1
BATCHES = (4, 8, 16, 32, 64)
MODELS = {"patchtst": PatchTST, "lstm": LSTM}
ROUNDS = 5


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]))
    torch.manual_seed(0)
    with kept_memory():
        speeds = {
            name: {str(batch): round(windows_per_second(build, batch), 2) for batch in BATCHES}
            for name, build in MODELS.items()
        }
    print(json.dumps({name: {"best": max(by.values()), "by_batch": by} for name, by in speeds.items()}))


def windows_per_second(build, batch: int) -> float:
    """Median of some steps after one that is not counted."""
    model = build(h=HORIZON, input_size=LOOKBACK).train()
    model.lr_decay_steps = 1_000  # what fit would have set
    optimizer = model.configure_optimizers()["optimizer"]
    windows = {
        "insample_y": torch.randn(batch, LOOKBACK, 1),
        "insample_mask": torch.ones(batch, LOOKBACK, 1),
        "futr_exog": None,
        "hist_exog": None,
        "stat_exog": None,
    }
    target, mask = torch.randn(batch, HORIZON, 1), torch.ones(batch, HORIZON, 1)

    def step() -> float:
        begin = time.perf_counter()
        optimizer.zero_grad()
        output = model.loss.domain_map(model(windows))
        model.loss(y=target, y_hat=output, y_insample=windows["insample_y"], mask=mask).backward()
        optimizer.step()
        return time.perf_counter() - begin

    step()
    return batch / statistics.median(step() for _ in range(ROUNDS))


if __name__ == "__main__":
    main()
