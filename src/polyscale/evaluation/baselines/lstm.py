"""A recurrent network (LSTM, Hochreiter and Schmidhuber 1997) over the rows of the base scale.

In: rows. Out: forecasts at the wanted origins. It reads stretches, one row and the origin's inputs (the base
forecast among them) per closed bar, and forecasts at each of them; the first rows of a stretch only warm its
state. Like the network it begins at the base forecast and is trained on QLIKE; the epoch with the least QLIKE
on validation origins is kept. One thread.

Shapes: B batch, N origins with the context before them, I inputs, H horizons.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from polyscale.dataset.stretches import ScaledPanel
from polyscale.evaluation.baselines.rows import Bools, Floats, Rows, check_learnable
from polyscale.evaluation.baselines.sequences import Sequences, base_scale
from polyscale.model.network import NetworkInput
from polyscale.training.allocator import kept_memory
from polyscale.training.batches import Part, Where, epoch_batches, load, ordered_batches
from polyscale.training.loss import Labels, robust_qlike

HIDDEN: Final = 64
_CONTEXT: Final = 288  # rows that warm the state
_BODY: Final = 512
_PER_BATCH: Final = 4
_LEARNING_RATE: Final = 2e-3
_WEIGHT_DECAY: Final = 0.05
_DROPOUT: Final = 0.2
_LEVEL_NOISE: Final = (
    0.15  # sd of a shift of all inputs of a stretch: levels tell the date, and are learned by heart
)
_ORIGINS_TO_READ: Final = 8_000_000  # in all epochs together
_EPOCHS: Final = (3, 12)
_PATIENCE: Final = 4


class LstmForecaster(nn.Module):
    """Rows and origin inputs in, log variance at every row out; with a zero head it is the base forecast."""

    def __init__(self, num_inputs: int, num_horizons: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(num_inputs, HIDDEN, batch_first=True)
        self.dropout = nn.Dropout(_DROPOUT)
        self.head = nn.Linear(HIDDEN + num_inputs, num_horizons)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x_bni: Tensor, base_bnh: Tensor) -> Tensor:
        """Log mean variance per base bar [B, N, H]."""
        states, _ = self.lstm(x_bni)
        return base_bnh + self.head(torch.cat([self.dropout(states), x_bni], dim=-1))


def lstm(rows: Rows, seed: int = 1) -> list[Floats]:
    """What the recurrent network forecasts."""
    check_learnable(rows)
    sequences = base_scale(rows, lookback=1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), kept_memory():
            network = _train(sequences, seed)
            return [
                _forecast(network, scaled, sequences, wanted & panel.usable)[wanted]
                for panel, scaled, wanted in zip(rows.panels, sequences.panels, rows.wanted, strict=True)
            ]
    finally:
        torch.set_num_threads(threads)


def _train(sequences: Sequences, seed: int) -> LstmForecaster:
    torch.manual_seed(seed)
    train = Part(sequences.panels, sequences.train, sequences.data)
    validate = Part(sequences.panels, sequences.validate, sequences.data)
    first = sequences.panels[0]
    network = LstmForecaster(first.rows[0].shape[1] + first.origin.shape[1], first.base.shape[1])
    least, most = _EPOCHS
    epochs = int(np.clip(_ORIGINS_TO_READ // sum(int(c.sum()) for c in train.counted), least, most))
    steps = epochs * (len(epoch_batches(train, _BODY, _PER_BATCH, seed, 0)) + 1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, _LEARNING_RATE, total_steps=steps + 1, pct_start=0.15, cycle_momentum=False
    )
    best, kept, since = np.inf, copy.deepcopy(network), 0
    for epoch in range(epochs):
        network.train()
        batches = epoch_batches(train, _BODY, _PER_BATCH, seed, epoch)
        for x, base, labels in _stretches(train, batches):
            optimizer.zero_grad()
            shift = _LEVEL_NOISE * torch.randn(x.shape[0], 1, x.shape[2])
            _loss(network(x + shift, base), labels).mean().backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        loss = _score(network, validate)
        if loss < best:
            best, kept, since = loss, copy.deepcopy(network), 0
        else:
            since += 1
        if since == _PATIENCE:
            break
    return kept.eval()


@torch.no_grad()
def _score(network: LstmForecaster, part: Part) -> float:
    """Mean QLIKE over the counted origins, all horizons alike."""
    network.eval()
    total, count = 0.0, 0
    for x, base, labels in _stretches(part, ordered_batches(part, _BODY, _PER_BATCH)):
        num = int(labels.counted.sum())
        total += num * float(_loss(network(x, base), labels).mean())
        count += num
    return total / count


@torch.no_grad()
def _forecast(network: LstmForecaster, panel: ScaledPanel, sequences: Sequences, wanted: Bools) -> Floats:
    """Forecasts at the wanted origins in a table of all [T, H], NaN elsewhere."""
    found = np.full(panel.base.shape, np.nan)
    part = Part([panel], [wanted], sequences.data)
    outputs = [
        network(x, base)[labels.counted].double().numpy()
        for x, base, labels in _stretches(part, ordered_batches(part, _BODY, _PER_BATCH))
    ]
    if outputs:
        found[wanted] = np.concatenate(outputs)
    return found


def _stretches(part: Part, batches: Sequence[Where]) -> Iterator[tuple[Tensor, Tensor, Labels]]:
    """Inputs, base forecast and labels of stretches with their context, which counts for nothing."""
    earlier = [[(panel, first - _CONTEXT) for panel, first in where] for where in batches]
    for inputs, labels in load(part, earlier, _CONTEXT + _BODY):
        counted = labels.counted.clone()
        counted[:, :_CONTEXT] = False
        yield _joined(inputs), inputs.base, labels._replace(counted=counted)


def _joined(inputs: NetworkInput) -> Tensor:
    """Features and the origin's inputs of every row; a row that is missing or not warm is zeros."""
    known = inputs.masks[0][..., None]
    return torch.cat([torch.where(known, inputs.rows[0], 0.0), inputs.origin], dim=-1)


def _loss(log_variance: Tensor, labels: Labels) -> Tensor:
    """QLIKE per horizon [H] over the counted origins whose label is known."""
    known = labels.counted[..., None] & labels.log_variance.isfinite()
    surprise = torch.where(known, labels.log_variance - log_variance, 0.0)
    return robust_qlike(surprise).sum(dim=(0, 1)) / known.sum(dim=(0, 1)).clamp(min=1)
