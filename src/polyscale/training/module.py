"""The network as Lightning trains it: loss, optimiser, and the moving average of the weights that is kept."""

from __future__ import annotations

import copy
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from polyscale.market.errors import TrainingError
from polyscale.model.network import MultiScaleAttention, NetworkInput
from polyscale.training.loss import Labels, LossParts, loss_parts, total_loss
from polyscale.training.settings import Precision, Schedule, TrainingSettings


class TrainingModule(pl.LightningModule):
    """Trains ``network``; ``average`` holds the moving average that is validated and kept.

    Every draw of dropout is a function of (seed, step), so that a resumed training is the same training.
    """

    log_bars: Tensor
    levels: Tensor

    def __init__(
        self,
        network: MultiScaleAttention,
        settings: TrainingSettings,
        bars_ahead: tuple[int, ...],
        reference: LossParts,
        steps_per_epoch: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.network = network
        self.average = copy.deepcopy(network).requires_grad_(False).eval()
        self.settings, self.reference, self.seed = settings, reference, seed
        self.steps_per_epoch = steps_per_epoch
        self.register_buffer(
            "log_bars", torch.log(torch.tensor(bars_ahead, dtype=torch.float32)), persistent=False
        )
        self.register_buffer("levels", torch.tensor(network.spec.levels), persistent=False)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed the step's own draws."""
        torch.manual_seed(self.seed * 1_000_003 + self.global_step)

    def training_step(self, batch: tuple[NetworkInput, Labels], batch_idx: int) -> Tensor:
        """Loss of one batch."""
        inputs, labels = batch
        inputs = shift_levels(inputs, self.settings.level_noise)
        parts = loss_parts(self.network(inputs), labels, self.levels, self.log_bars)
        loss = total_loss(parts, self.reference, self.settings)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the training loss must be finite, got {loss.item()} at step {self.global_step}; lower "
                f"training.learning_rate ({self.settings.learning_rate}) or look for broken bars"
            )
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=int(labels.counted.sum()))
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Move the average; it follows faster in the first steps."""
        decay = min(self.settings.ema_decay, (1 + self.global_step) / (10 + self.global_step))
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)

    def validation_step(self, batch: tuple[NetworkInput, Labels], batch_idx: int) -> None:
        """Validation loss of the average, weighted by counted origins."""
        inputs, labels = batch
        self.average.eval()
        parts = loss_parts(self.average(inputs), labels, self.levels, self.log_bars)
        count = int(labels.counted.sum())
        self.log("val_loss", total_loss(parts, self.reference, self.settings), batch_size=count)
        self.log("val_qlike", (parts.qlike / self.reference.qlike).mean(), batch_size=count)

    def configure_optimizers(self) -> Any:
        """AdamW, no decay on vectors; one cycle, or the chapter's warm restarts."""
        trained = [p for p in self.network.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": self.settings.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        fused = self.settings.precision is Precision.FLOAT32  # else Lightning cannot clip gradients
        optimizer = torch.optim.AdamW(groups, lr=self.settings.learning_rate, fused=fused)
        scheduler: torch.optim.lr_scheduler.LRScheduler
        if self.settings.schedule is Schedule.ONE_CYCLE:
            total = self.settings.epochs * self.steps_per_epoch
            scheduler = torch.optim.lr_scheduler.OneCycleLR(
                optimizer,
                self.settings.learning_rate,
                total_steps=total + 1,
                pct_start=0.15,
                cycle_momentum=False,
            )
        else:
            scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
                optimizer, T_0=10 * self.steps_per_epoch, T_mult=2
            )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def shift_levels(inputs: NetworkInput, noise: float) -> NetworkInput:
    """Shift every input of a stretch by a constant of its own.

    A few hundred days of slowly moving levels tell the date, and a network that knows the date has the labels
    by heart; what moves inside a stretch stays as it is.
    """
    if noise == 0:
        return inputs
    rows = [x + noise * torch.randn(x.shape[0], 1, x.shape[2]) for x in inputs.rows]
    origin = inputs.origin + noise * torch.randn(inputs.origin.shape[0], 1, inputs.origin.shape[2])
    return inputs._replace(rows=rows, origin=origin)
