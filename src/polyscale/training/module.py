"""The network as Lightning trains it: loss, optimiser, guard, and the moving average that is kept."""

from __future__ import annotations

import copy
import math
from itertools import zip_longest
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.optim import Optimizer

from polyscale.model.network import MultiScaleAttention, NetworkInput
from polyscale.training import ranks
from polyscale.training.guard import Guard, all_finite
from polyscale.training.loss import Labels, LossParts, known_counts, loss_parts, total_loss
from polyscale.training.progress import EpochReport
from polyscale.training.settings import Precision, Schedule, TrainingSettings


class _Scored(NamedTuple):
    """One validation batch of the average."""

    loss: float
    qlike: float
    origins: int
    hits: int  # labels of direction, over all horizons, whose side was forecast
    sides: int  # those that are known


class TrainingModule(pl.LightningModule):
    """Trains ``network``; ``average`` holds the moving average that is validated and kept.

    Every draw of dropout is a function of (seed, step, rank), so that a resumed training is the same one.
    Of several processes, each has its share of a batch: sums of losses are divided by the whole batch's
    counts, so that the mean of the gradients is the gradient of the whole batch.
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
        num_clock: int = 0,
    ) -> None:
        super().__init__()
        self.network = network
        self.average = copy.deepcopy(network).requires_grad_(False).eval()
        self.settings, self.reference, self.seed = settings, reference, seed
        self.steps_per_epoch, self.num_clock = steps_per_epoch, num_clock
        self.guard = Guard(settings, self.network, self.average)
        self._loss = math.nan  # of the step under way
        self._trained: list[tuple[float, int]] = []  # loss and origins of each step that was taken
        self._validated: list[_Scored] = []
        self.register_buffer(
            "log_bars", torch.log(torch.tensor(bars_ahead, dtype=torch.float32)), persistent=False
        )
        self.register_buffer("levels", torch.tensor(network.spec.levels), persistent=False)

    def on_train_epoch_start(self) -> None:
        """Remember good weights."""
        self._trained = []
        self.guard.begin_epoch(self._optimizer())

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed the step's own draws."""
        torch.manual_seed(self.seed * 1_000_003 + self.global_step + ranks.rank() * 998_244_353)

    def training_step(self, batch: tuple[NetworkInput, Labels], batch_idx: int) -> Tensor:
        """Loss of one batch; one that is not finite makes every gradient NaN, in all processes."""
        inputs, labels = batch
        inputs = shift_levels(inputs, self.settings, self.num_clock)
        counts = _counts_of_all(labels)
        parts = loss_parts(self.network(inputs), labels, self.levels, self.log_bars, counts)
        loss = total_loss(parts, self.reference, self.log_bars, self.settings)
        self._loss = loss.item()
        return loss if math.isfinite(self._loss) else loss * math.nan

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm; without gradients AdamW changes nothing, so they are dropped if it is not finite."""
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(trained, self.settings.gradient_clip)
        if not self.guard.judge(norm):
            optimizer.zero_grad(set_to_none=True)
        for group in optimizer.param_groups:  # the schedule sets the rate anew after every step
            group["lr"] = group["lr"] * self.guard.rate

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Move the average, which follows faster in the first steps; or go back to good weights."""
        if self.guard.took_step:
            self._trained.append((self._loss, int(batch[1].counted.sum())))
            decay = min(self.settings.ema_decay, (1 + self.global_step) / (10 + self.global_step))
            with torch.no_grad():
                for kept, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
                    kept.lerp_(new, 1 - decay)
        elif self.guard.too_many():
            why = (
                f"the training loss and its gradient must be finite, got {self._loss:g} and a gradient that "
                f"is not at step {self.global_step - 1}, {self.guard.in_row} steps in a row"
            )
            self.guard.go_back(self._optimizer(), why)

    def on_validation_epoch_start(self) -> None:
        """Begin anew."""
        self._validated = []

    def validation_step(self, batch: tuple[NetworkInput, Labels], batch_idx: int) -> None:
        """Score a batch with the average."""
        inputs, labels = batch
        self.average.eval()
        output = self.average(inputs)
        parts = loss_parts(output, labels, self.levels, self.log_bars)
        loss = total_loss(parts, self.reference, self.log_bars, self.settings)
        qlike = (parts.qlike / self.reference.qlike).mean()
        sides = labels.counted[..., None] & labels.up.isfinite()
        hits = sides & ((output.up_logit > 0) == (labels.up > 0))
        counts = (int(each.sum()) for each in (labels.counted, hits, sides))
        self._validated.append(_Scored(loss.item(), qlike.item(), *counts))

    def end_epoch(self) -> EpochReport:
        """What the epoch came to, over all processes; goes back to good weights if it came to nothing."""
        train_loss = _train_loss(ranks.gathered(self._trained))
        validated = _in_order(ranks.gathered(self._validated))
        val_loss = _mean([(scored.loss, scored.origins) for scored in validated])
        if val_loss is None or not all_finite(self.network, self.average):
            found = "no loss" if val_loss is None else "a weight that is not"
            why = (
                f"the validation loss and all weights must be finite, got {found} after epoch "
                f"{self.current_epoch + 1}, step {self.global_step - 1}"
            )
            self.guard.go_back(self._optimizer(), why)
        return EpochReport(
            self.current_epoch + 1,
            self.settings.epochs,
            train_loss,
            val_loss,
            _mean([(scored.qlike, scored.origins) for scored in validated]),
            _share([(scored.hits, scored.sides) for scored in validated]),
            self.guard.skipped_in_epoch,
            self.guard.rollbacks_in_epoch,
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The guard's counts are part of the training."""
        checkpoint["guard"] = self.guard.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take them up."""
        self.guard.load_state_dict(checkpoint["guard"])

    def _optimizer(self) -> Optimizer:
        return self.trainer.optimizers[0]

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


def _counts_of_all(labels: Labels) -> LossParts:
    """Known labels of the whole batch, per process: what a sum over a share is divided by."""
    whole = ranks.summed(torch.stack(list(known_counts(labels)))).clamp(min=1)
    return LossParts(*(whole / ranks.size()))


def shift_levels(inputs: NetworkInput, settings: TrainingSettings, num_clock: int) -> NetworkInput:
    """Shift every input of a stretch by a constant of its own, but for the clock.

    A few hundred days of slowly moving levels tell the date, and a network that knows the date has the labels
    by heart; what moves inside a stretch stays as it is. The hour and the weekday tell no date.

    Parameters
    ----------
    num_clock
        First inputs of the origin that are clock and ages.
    """
    of_rows = settings.level_noise
    of_origin = of_rows if settings.origin_noise is None else settings.origin_noise
    rows, origin = inputs.rows, inputs.origin
    if of_rows:
        rows = [x + of_rows * torch.randn(x.shape[0], 1, x.shape[2]) for x in rows]
    if of_origin:
        shift = of_origin * torch.randn(origin.shape[0], 1, origin.shape[2])
        shift[..., :num_clock] = 0.0
        origin = origin + shift
    return inputs._replace(rows=rows, origin=origin)


def _train_loss(by_rank: list[list[tuple[float, int]]]) -> float | None:
    """Mean over origins of the steps' losses; of one step, each process has its share."""
    steps = list(zip(*by_rank, strict=True))
    losses = [(sum(loss for loss, _ in step) / len(step), sum(count for _, count in step)) for step in steps]
    return _mean(losses)


def _in_order(by_rank: list[list[_Scored]]) -> list[_Scored]:
    """Batches in the order of one process alone, so that a sum over them has the same bits."""
    return [scored for row in zip_longest(*by_rank) for scored in row if scored is not None]


def _share(counts: list[tuple[int, int]]) -> float | None:
    """Hits over all; None where there is nothing to hit."""
    total = sum(sides for _, sides in counts)
    return sum(hits for hits, _ in counts) / total if total else None


def _mean(weighted: list[tuple[float, int]]) -> float | None:
    """Weighted mean; None where it is not finite, or where nothing counts."""
    total = sum(weight for _, weight in weighted)
    mean = sum(value * weight for value, weight in weighted) / total if total else math.nan
    return mean if math.isfinite(mean) else None
