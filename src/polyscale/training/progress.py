"""What a training tells while it runs, and the name of what it keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

LAST = "last.ckpt"
"""The checkpoint: one file, of the last epoch that has ended; absent before the first has."""


@dataclass(frozen=True)
class EpochReport:
    """What one epoch came to; losses are in units of the base forecast's, None where not finite."""

    epoch: int  # from 1
    epochs: int
    train_loss: float | None  # over the steps that were taken
    val_loss: float | None
    val_qlike: float | None
    skipped: int = 0  # steps whose loss or gradient was not finite: they changed nothing
    rollbacks: int = 0  # returns to the last good weights


Progress = Callable[[EpochReport], None]
