"""One bar at a time: the network of configs/full.yaml with carried state, one thread, features excluded.

For one symbol a day and a half of one-minute bars is streamed; bars at which the daily scale steps as well
are told apart. For 200 symbols in one batch an hour is streamed.
"""

import json
import time

import numpy as np
import torch

from benchmarks.full_network import BARS, SPEC
from polyscale.model.network import MultiScaleAttention, NetworkInput
from polyscale.model.state import NetworkState

MANY, MINUTES, MANY_MINUTES = 200, 2_160, 60


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = MultiScaleAttention(SPEC).eval()
    with torch.inference_mode():
        state = warm_state(network, 1)
        one = {n: timed(network, state, n) for n in range(1, MINUTES + 1)}
        state = warm_state(network, MANY)
        many = [timed(network, state, n) for n in range(1, MANY_MINUTES + 1)]
        at_midnight = timed(network, state, BARS[-1])
    usual = [seconds for n, seconds in one.items() if n % BARS[-1]]
    midnight = [seconds for n, seconds in one.items() if n % BARS[-1] == 0]
    figures = {
        "p50_ms": round(1e3 * np.median(usual), 3),
        "p99_ms": round(1e3 * np.quantile(usual, 0.99), 3),
        "midnight_ms": round(1e3 * max(midnight), 3),
        "batch200_ms": round(1e3 * np.median(many), 1),
        "batch200_worst_ms": round(1e3 * max(*many, at_midnight), 1),
        "state_mb": round(state.num_bytes / 1e6, 1),
        "state_mb_per_symbol": round(state.num_bytes / MANY / 1e6, 3),
    }
    print(f"{network.num_parameters:,} parameters")
    for name, figure in figures.items():
        print(f"{name:<24}{figure:>10,}")
    print(json.dumps(figures))


def warm_state(network: MultiScaleAttention, batch: int) -> NetworkState:
    """A state whose every buffer is full."""
    state = network.empty_state(batch)
    for buffer in state.buffers:
        buffer.values.normal_()
        buffer.mask.fill_(True)
    for _ in range(5):
        network(bar(batch, BARS[-1]), state)
    return state


def bar(batch: int, minute: int) -> NetworkInput:
    """What is new at a minute: a base bar, and a bar of each scale that closes then."""
    closed = [minute % bars == 0 for bars in BARS]
    rows = [
        torch.randn(batch, int(closes), len(names))
        for closes, names in zip(closed, SPEC.features, strict=True)
    ]
    return NetworkInput(
        rows=rows,
        masks=[torch.ones(x.shape[:2], dtype=torch.bool) for x in rows],
        aligned=torch.tensor([0 if closes else -1 for closes in closed]).expand(batch, 1, -1),
        origin=torch.randn(batch, 1, SPEC.num_origin_inputs),
        base=torch.randn(batch, 1, len(SPEC.horizons)),
    )


def timed(network: MultiScaleAttention, state: NetworkState, minute: int) -> float:
    inputs = bar(state.batch, minute)
    begin = time.perf_counter()
    network(inputs, state)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
