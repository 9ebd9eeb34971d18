"""Training at the chapter's table: forecast origins per second of ours, the chapter's network, and two peers.

One step is forward, the training loss, backward and AdamW, in float32, with one thread and the same allocator
for all. Ours takes one stretch of 8,192 origins. The chapter's network takes windows, one forecast each, in
batches of several sizes; 64 windows (the chapter's batch) do not fit into 24 GB at once, so that gradients
are added up over pieces of 16, which is the same step. The chapter's network without its dropout is shown
beside it, since PyTorch's fused attention wants none. Ours and the chapter's are timed in turn, medians of
the rounds. The peers run in an environment of their own afterwards (`peers/neuralforecast_speed.py`).
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.chapter_network import ChapterNetwork
from benchmarks.full_network import HORIZONS, SPEC, random_stretch
from polyscale.model.network import MultiScaleAttention, NetworkOutput
from polyscale.training.allocator import kept_memory
from polyscale.training.loss import Labels, LossParts, loss_parts, total_loss
from polyscale.training.settings import TrainingSettings

ROOT = Path(__file__).resolve().parents[1]
PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
THREADS, ROUNDS = 1, 3
NUM_ORIGINS = 8_192
BATCHES, CHAPTER_BATCH, PIECE = (1, 4, 16, 64), 64, 16
WITHOUT, WITHOUT_BATCH = "without dropout", 4
BF16 = "ours in bfloat16"
Step = Callable[[], Any]


def main() -> None:
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    ours, network = our_step()
    chapter, without = ChapterNetwork(SPEC), ChapterNetwork(SPEC, dropout=0.0)
    plain: dict[Any, Step] = {batch: plain_step(chapter, batch) for batch in BATCHES}
    plain[WITHOUT] = plain_step(without, WITHOUT_BATCH)
    plain[BF16] = our_step(bf16=True)[0]
    with kept_memory():
        spent_ours, spent_plain = timed_in_turn(ours, plain)
    speed = NUM_ORIGINS / statistics.median(spent_ours)
    plain_speed = {
        batch: {WITHOUT: WITHOUT_BATCH, BF16: 0}.get(batch, batch) / statistics.median(spent)
        for batch, spent in spent_plain.items()
    }
    without_dropout = plain_speed.pop(WITHOUT)
    plain_speed.pop(BF16)
    speed_bf16 = NUM_ORIGINS / statistics.median(spent_plain[BF16])
    peers = peer_speeds()
    best = max(plain_speed.values())
    sizes = {"polyscale": count(network), "the chapter's network": count(chapter)}
    print(", ".join(f"{name}: {size:,} parameters" for name, size in sizes.items()))
    print(f"{'training, ' + str(THREADS) + ' thread':<46}{'origins/s':>12}{'ours is':>10}")
    print(f"{f'polyscale, a stretch of {NUM_ORIGINS:,}':<46}{speed:>12,.0f}")
    print(f"{'the same, training.precision: bf16':<46}{speed_bf16:>12,.0f}")
    for batch, figure in plain_speed.items():
        name = f"the chapter's network, {batch} windows"
        print(f"{name:<46}{figure:>12.2f}{speed / figure:>9,.0f}x")
    name = f"the same without its dropout, {WITHOUT_BATCH} windows"
    print(f"{name:<46}{without_dropout:>12.2f}{speed / without_dropout:>9,.0f}x")
    for name, by in peers.items():
        for batch, figure in by["by_batch"].items():
            print(f"{f'neuralforecast {name}, {batch} windows':<46}{figure:>12.1f}{speed / figure:>9,.0f}x")
    if not peers:
        print("neuralforecast: its environment is not there; make bench")
    against = {f"ratio_{name}": round(speed / by["best"], 1) for name, by in peers.items()}
    print(
        json.dumps(
            {
                "ratio": round(speed / best, 1),
                "ratio_chapter_batch": round(speed / plain_speed[CHAPTER_BATCH], 1),
                "ratio_without_dropout": round(speed / without_dropout, 1),
                "origins_per_second": round(speed, 1),
                "origins_per_second_bf16": round(speed_bf16, 1),
                **{f"ratio_{name}": None for name in ("patchtst", "lstm")},
                **against,
                "plain_by_batch": {str(batch): round(figure, 3) for batch, figure in plain_speed.items()},
                "peers": peers or None,
                "peak_mb": peak_mb(),
                "parameters": sizes["polyscale"],
                "parameters_plain": sizes["the chapter's network"],
            }
        )
    )


def our_step(bf16: bool = False) -> tuple[Step, MultiScaleAttention]:
    network = MultiScaleAttention(SPEC).train()
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-3, fused=True)
    inputs = random_stretch(SPEC, NUM_ORIGINS)
    labels = random_labels(1, NUM_ORIGINS)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            output = network(inputs)
        loss(output, labels).backward()
        optimizer.step()

    return step, network


def plain_step(network: ChapterNetwork, batch: int) -> Step:
    """A step on so many windows, in pieces that fit into memory."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    piece = min(batch, PIECE)
    pieces = [
        (
            [
                torch.randn(piece, lookback, len(names))
                for lookback, names in zip(SPEC.lookbacks, SPEC.features, strict=True)
            ],
            torch.randn(piece, 1, SPEC.num_origin_inputs),
            torch.randn(piece, 1, len(HORIZONS)),
            random_labels(piece, 1),
        )
        for _ in range(batch // piece)
    ]

    def step() -> None:
        optimizer.zero_grad()
        for windows, origin, base, labels in pieces:
            (loss(network(windows, origin, base), labels) / len(pieces)).backward()
        optimizer.step()

    return step


def random_labels(batch: int, num_origins: int) -> Labels:
    shape = (batch, num_origins, len(HORIZONS))
    return Labels(
        log_variance=torch.randn(shape),
        scaled_return=torch.randn(shape),
        up=(torch.rand(shape) < 0.5).float(),
        log_scale=torch.zeros(shape),
        counted=torch.ones(batch, num_origins, dtype=torch.bool),
    )


def loss(output: NetworkOutput, labels: Labels) -> torch.Tensor:
    ahead = torch.tensor(list(HORIZONS.values()), dtype=torch.float32)
    parts = loss_parts(output, labels, torch.tensor(SPEC.levels), ahead.log())
    ones = torch.ones(len(HORIZONS))
    return total_loss(parts, LossParts(ones, ones, ones), ahead.log(), TrainingSettings())


def timed_in_turn(ours: Step, plain: dict[Any, Step]) -> tuple[list[float], dict[Any, list[float]]]:
    """Seconds of the steps: ours, one window, ours, four windows, ours, ..., after a round that warms up."""
    spent_ours: list[float] = []
    spent_plain: dict[Any, list[float]] = {batch: [] for batch in plain}
    for step in (ours, *(step for batch, step in plain.items() if batch != CHAPTER_BATCH)):
        step()
    for _ in range(ROUNDS):
        for batch, step in plain.items():
            spent_ours.append(seconds(ours))
            spent_plain[batch].append(seconds(step))
    return spent_ours, spent_plain


def seconds(step: Step) -> float:
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def peer_speeds() -> dict[str, Any]:
    """By name, as the peers' own process tells; empty where `make bench` has not built their environment."""
    if not PEERS_PYTHON.exists():
        return {}
    command = [str(PEERS_PYTHON), "-m", "benchmarks.peers.neuralforecast_speed", str(THREADS)]
    kept = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=ROOT, env=kept, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the peers' benchmark failed:\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def peak_mb() -> int:
    """Peak memory of a process that does nothing but our step, three times, libraries included."""
    code = "from benchmarks.train import print_peak; print_peak()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return round(float(done.stdout.strip()))


def print_peak() -> None:
    torch.set_num_threads(THREADS)
    step, _ = our_step()
    with kept_memory():
        for _ in range(3):
            step()
    status = Path("/proc/self/status").read_text()  # getrusage would begin at the peak of our parent
    print(int(status.split("VmHWM:")[1].split()[0]) / 1_024)


def count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


if __name__ == "__main__":
    main()
