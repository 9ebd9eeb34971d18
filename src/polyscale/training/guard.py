"""What is not finite changes nothing, and where that goes on, training goes back to the last good weights.

A step whose loss or gradient norm is not finite is skipped: weights, moments and average stay. After so many
in a row, or when the validation loss is not finite, all three return to the last good snapshot and the
learning rate is halved from there on. Snapshots are taken where an epoch begins, unless it begins amid
skipped steps.
"""

from __future__ import annotations

import copy
import logging
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from polyscale.market.errors import TrainingError
from polyscale.training.settings import TrainingSettings

_SHRINK = 0.5  # of the learning rate, at every rollback
logger = logging.getLogger(__name__)


class Guard:
    """Counts, and the snapshot; all of it is part of a checkpoint."""

    def __init__(self, settings: TrainingSettings, network: nn.Module, average: nn.Module) -> None:
        self._settings, self._network, self._average = settings, network, average
        self.in_row = 0  # skipped steps since the last one that was taken
        self.rollbacks = 0
        self.skipped_in_epoch = 0
        self.rollbacks_in_epoch = 0
        self.took_step = True  # whether the last one was
        self._snapshot: dict[str, Any] = {}

    @property
    def rate(self) -> float:
        """What the learning rate is multiplied by."""
        return float(_SHRINK**self.rollbacks)

    def begin_epoch(self, optimizer: Optimizer) -> None:
        """Take a snapshot, unless the weights are under suspicion."""
        self.skipped_in_epoch = self.rollbacks_in_epoch = 0
        if self.in_row == 0:
            self._snapshot = {
                "network": copy.deepcopy(self._network.state_dict()),
                "average": copy.deepcopy(self._average.state_dict()),
                "moments": copy.deepcopy(optimizer.state_dict()["state"]),
            }

    def judge(self, norm: torch.Tensor) -> bool:
        """Whether the step may be taken, by the norm of its gradient."""
        self.took_step = bool(norm.isfinite())
        self.in_row = 0 if self.took_step else self.in_row + 1
        self.skipped_in_epoch += not self.took_step
        return self.took_step

    def too_many(self) -> bool:
        """Whether so many steps in a row were skipped that waiting no longer helps."""
        return self.in_row >= self._settings.max_skipped

    def go_back(self, optimizer: Optimizer, why: str) -> None:
        """Return to the snapshot with a smaller learning rate.

        Raises
        ------
        TrainingError
            If that was done as often as the settings allow.
        """
        if self.rollbacks >= self._settings.max_rollbacks:
            raise TrainingError(
                f"{why}, after {self.rollbacks} returns to the last good weights; lower "
                f"training.learning_rate ({self._settings.learning_rate}) or look for broken bars"
            )
        self.in_row = 0
        self.rollbacks += 1
        self.rollbacks_in_epoch += 1
        logger.warning("%s: back to the last good weights, learning rate x %g", why, self.rate)
        self._network.load_state_dict(self._snapshot["network"])
        self._average.load_state_dict(self._snapshot["average"])
        groups = optimizer.state_dict()["param_groups"]
        moments = copy.deepcopy(self._snapshot["moments"])
        optimizer.load_state_dict({"state": moments, "param_groups": groups})

    def state_dict(self) -> dict[str, Any]:
        """Counts; the snapshot only where the next epoch will not take a new one."""
        kept = self._snapshot if self.in_row else None
        return {"in_row": self.in_row, "rollbacks": self.rollbacks, "snapshot": kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what a checkpoint holds."""
        self.in_row, self.rollbacks = state["in_row"], state["rollbacks"]
        self._snapshot = state["snapshot"] or {}


def all_finite(*modules: nn.Module) -> bool:
    """Whether every weight is a number."""
    return all(bool(p.isfinite().all()) for module in modules for p in module.parameters())
