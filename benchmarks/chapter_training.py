"""Training of the chapter's network on windows, by its own recipe and at our loss, until its time is over.

In: the same parts of panels that ours is trained on. Out: its losses on the validation origins, each with
the seconds of training that it took. Windows are cut on the fly, at origins drawn at random; nothing is kept
per window. Validation does not count as training time.
"""

import copy
import time
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.chapter_network import ChapterNetwork
from polyscale.model.settings import NetworkSpec
from polyscale.training.batches import Part
from polyscale.training.loss import Labels, LossParts, loss_parts, total_loss
from polyscale.training.settings import TrainingSettings

BATCH, VALIDATION_BATCH = 64, 256
WARM_UP_STEPS = 100
AVERAGE_DECAY = 0.98


class Point(NamedTuple):
    """A validation."""

    seconds: float  # of training until here
    loss: float
    steps: int


class Yardstick(NamedTuple):
    """What turns outputs and labels into one number, the same for both networks."""

    settings: TrainingSettings
    reference: LossParts
    levels: Tensor
    log_bars: Tensor

    def loss(self, output, labels: Labels) -> Tensor:
        """Loss of a batch."""
        parts = loss_parts(output, labels, self.levels, self.log_bars)
        return total_loss(parts, self.reference, self.log_bars, self.settings)


class Windows:
    """Windows of one symbol that end at given origins."""

    def __init__(self, part: Part, lookbacks: tuple[int, ...]) -> None:
        (panel,), (counted,) = part.panels, part.counted
        self.origins = np.flatnonzero(counted)
        self.rows = [
            torch.from_numpy(rows * warm[:, None]) for rows, warm in zip(panel.rows, panel.warm, strict=True)
        ]
        self.index = torch.from_numpy(panel.index)
        self.back = [torch.arange(1 - length, 1) for length in lookbacks]
        self.per_origin = {name: torch.from_numpy(getattr(panel, name)) for name in _PER_ORIGIN}

    def cut(self, origins: np.ndarray) -> tuple[list[Tensor], dict[str, Tensor]]:
        """[B, L, F] of every scale, 0 before its first row, and [B, 1, ...] of the origins."""
        windows = []
        for j, (rows, back) in enumerate(zip(self.rows, self.back, strict=True)):
            where = self.index[origins, j, None] + back
            windows.append(rows[where.clamp(min=0)] * (where >= 0)[..., None])
        return windows, {name: values[origins][:, None] for name, values in self.per_origin.items()}


_LABELS = ("log_variance", "scaled_return", "up", "log_scale")
_PER_ORIGIN = ("origin", "base", *_LABELS)


def train(
    spec: NetworkSpec,
    parts: tuple[Part, Part],
    base_quantiles: Tensor,
    yardstick: Yardstick,
    *,
    learning_rate: float,
    budget_s: float,
    validate_every_s: float,
    seed: int,
) -> list[Point]:
    """Train for ``budget_s`` seconds; see the head of this file.

    AdamW, a warm-up, the chapter's decay of weights. What helps ours it has as well: gradients are clipped,
    inputs are shifted by ``level_noise``, and the moving average of the weights is what is validated.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = ChapterNetwork(spec)
    network.heads.set_base_quantiles(base_quantiles)
    average = copy.deepcopy(network).requires_grad_(False).eval()
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=0.01)
    training, validation = (Windows(part, spec.lookbacks) for part in parts)
    points = [Point(0.0, validated(average, validation, yardstick), 0)]
    spent, steps, next_look = 0.0, 0, validate_every_s
    while spent < budget_s:
        begin = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (steps + 1) / WARM_UP_STEPS)
        loss = loss_at(network, training, rng.choice(training.origins, BATCH, replace=False), yardstick)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), yardstick.settings.gradient_clip)
        optimizer.step()
        follow(average, network, min(AVERAGE_DECAY, (1 + steps) / (10 + steps)))
        steps += 1
        spent += time.perf_counter() - begin
        if spent >= next_look or spent >= budget_s:
            points.append(Point(spent, validated(average, validation, yardstick), steps))
            next_look = spent + validate_every_s
    return points


def loss_at(network: ChapterNetwork, windows: Windows, origins: np.ndarray, yardstick: Yardstick) -> Tensor:
    rows, at = windows.cut(origins)
    counted = torch.ones(len(origins), 1, dtype=torch.bool)
    labels = Labels(**{name: at[name] for name in _LABELS}, counted=counted)
    noise = yardstick.settings.level_noise if network.training else 0.0
    inputs = [x + noise * torch.randn(len(x), 1, x.shape[-1]) for x in (*rows, at["origin"])]
    return yardstick.loss(network(inputs[:-1], inputs[-1], at["base"]), labels)


@torch.inference_mode()
def validated(network: ChapterNetwork, windows: Windows, yardstick: Yardstick) -> float:
    """Mean loss over all origins of the part."""
    origins = windows.origins
    batches = [origins[at : at + VALIDATION_BATCH] for at in range(0, len(origins), VALIDATION_BATCH)]
    total = sum(float(loss_at(network, windows, batch, yardstick)) * len(batch) for batch in batches)
    return total / len(origins)


@torch.no_grad()
def follow(average: ChapterNetwork, network: ChapterNetwork, decay: float) -> None:
    for kept, new in zip(average.parameters(), network.parameters(), strict=True):
        kept.lerp_(new, 1 - decay)
