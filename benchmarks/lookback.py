"""Cost per origin as the one-minute lookback grows 360 -> 1440 -> 5760, in stretches of 8,192 origins.

The network of configs/full.yaml otherwise. Training steps and forward passes of the three lookbacks are timed
in turn, one thread; the growth is that of the medians, per fourfold lookback, the worst of the four.
"""

import json
import statistics
import time
from itertools import pairwise

import torch

from benchmarks.full_network import SPEC, random_stretch
from polyscale.model.network import MultiScaleAttention
from polyscale.training.allocator import kept_memory

LOOKBACKS, NUM_ORIGINS, ROUNDS = (360, 1_440, 5_760), 8_192, 7


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    passes = {}
    for lookback in LOOKBACKS:
        spec = SPEC.model_copy(update={"lookbacks": (lookback, *SPEC.lookbacks[1:])})
        network, inputs = MultiScaleAttention(spec), random_stretch(spec, NUM_ORIGINS)
        passes[lookback, "training"] = training_step(network, inputs)
        passes[lookback, "scoring"] = scoring_pass(network, inputs)
    spent = {key: [] for key in passes}
    with kept_memory():
        for round_ in range(ROUNDS + 1):
            for key, run in passes.items():
                begin = time.perf_counter()
                run()
                if round_:  # the first warms up
                    spent[key].append(time.perf_counter() - begin)
    medians = {key: statistics.median(seconds) for key, seconds in spent.items()}
    print(f"{'lookback':<12}{'training, us per origin':>26}{'scoring, us per origin':>26}")
    for lookback in LOOKBACKS:
        each = [1e6 * medians[lookback, what] / NUM_ORIGINS for what in ("training", "scoring")]
        print(f"{lookback:<12,}{each[0]:>26.1f}{each[1]:>26.1f}")
    growth = {
        what: [round(medians[b, what] / medians[a, what], 3) for a, b in pairwise(LOOKBACKS)]
        for what in ("training", "scoring")
    }
    print(json.dumps({"growth_per_4x": max(max(each) for each in growth.values()), **growth}))


def training_step(network, inputs):
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-3)

    def run() -> None:
        network.train()
        optimizer.zero_grad()
        out = network(inputs)
        sum(part.square().mean() for part in (out.log_variance, out.quantiles, out.up_logit)).backward()
        optimizer.step()

    return run


def scoring_pass(network, inputs):
    @torch.inference_mode()
    def run() -> None:
        network.eval()
        network(inputs)

    return run


if __name__ == "__main__":
    main()
