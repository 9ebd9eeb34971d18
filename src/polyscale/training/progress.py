"""What a training tells while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class EpochReport:
    """What one epoch came to; losses are in units of the base forecast's."""

    epoch: int  # from 1
    epochs: int
    train_loss: float
    val_loss: float
    val_qlike: float


Progress = Callable[[EpochReport], None]
