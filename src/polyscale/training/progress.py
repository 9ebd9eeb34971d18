"""What a training tells while it runs, and the name of what it keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from polyscale.training.settings import Kept

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
    val_hit_rate: float | None = None  # of direction, over all horizons; None where no side is known
    skipped: int = 0  # steps whose loss or gradient was not finite: they changed nothing
    rollbacks: int = 0  # returns to the last good weights


Progress = Callable[[EpochReport], None]


def kept_report(reports: Sequence[EpochReport], keep: Kept) -> EpochReport | None:
    """The epoch whose averaged weights become the model, None while no validation loss is finite."""
    finite = [(each.val_loss, each) for each in reports if each.val_loss is not None]
    if not finite:
        return None
    return finite[-1][1] if keep is Kept.LAST else min(finite, key=lambda pair: pair[0])[1]
