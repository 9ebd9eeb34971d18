"""What is kept of every epoch: its report, the best averaged weights so far, and a checkpoint of all.

The best weights lie in the same file as the state of the training, so that no kill can part them.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from polyscale.training import ranks
from polyscale.training.module import TrainingModule
from polyscale.training.progress import LAST, EpochReport, Progress, kept_report
from polyscale.training.settings import TrainingSettings

logger = logging.getLogger(__name__)


class Record(Callback):
    """History and best weights, through a resume as well; says when to stop."""

    def __init__(self, folder: Path, settings: TrainingSettings, progress: Progress | None) -> None:
        self.folder, self.progress = folder, progress
        self.epochs, self.patience, self.keep = settings.epochs, settings.patience, settings.keep
        self.reports: list[EpochReport] = []
        self.best: dict[str, Tensor] | None = None
        self.best_epoch = 0

    @property
    def ended(self) -> bool:
        """Whether all epochs are done, or validation has not become better for as long as we wait."""
        return len(self.reports) >= self.epochs or len(self.reports) - self.best_epoch >= self.patience

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the epoch, keep it, and only then tell of it."""
        assert isinstance(pl_module, TrainingModule)
        report = pl_module.end_epoch()
        self.reports.append(report)
        if kept_report(self.reports, self.keep) is report:
            self.best_epoch = report.epoch
            self.best = {name: value.clone() for name, value in pl_module.average.state_dict().items()}
        if self.ended:
            trainer.should_stop = True
        trainer.save_checkpoint(self.folder / LAST)
        if self.progress is not None:
            self.progress(report)

    def state_dict(self) -> dict[str, Any]:
        """All of it, and how many processes trained."""
        return {
            "reports": [vars(report) for report in self.reports],
            "best": self.best,
            "best_epoch": self.best_epoch,
            "processes": ranks.size(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what a checkpoint holds."""
        self.reports = [EpochReport(**report) for report in state_dict["reports"]]
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]
        if state_dict["processes"] != ranks.size():
            logger.warning(
                "begun with %d processes, going on with %d: the weights will be others than with the same",
                state_dict["processes"],
                ranks.size(),
            )
