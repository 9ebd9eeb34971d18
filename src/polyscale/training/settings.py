"""How the network is trained."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pydantic import Field

from polyscale.market.errors import ConfigError
from polyscale.market.settings import Settings, is_whole

MIN_ORIGINS: Final = 500  # of training, with labels, below which nothing is learned


class Schedule(StrEnum):
    """How the learning rate moves."""

    ONE_CYCLE = "one_cycle"
    WARM_RESTARTS = "warm_restarts"  # the chapter's: cosine, first period 10 epochs, doubling


class Precision(StrEnum):
    """Of the matrix products and what they give; attention, norms, losses and weights compute in float32."""

    FLOAT32 = "float32"
    BF16 = "bf16"


class Kept(StrEnum):
    """Which epoch's averaged weights become the model."""

    BEST = "best"  # the least validation loss
    LAST = "last"  # where validation is too short to tell epochs apart, and the schedule has come to rest


class TrainingSettings(Settings):
    """Batches are stretches of consecutive origins, drawn from all symbols."""

    epochs: int = Field(20, ge=1, description="passes over the training origins, at most")
    stretch: int = Field(1_024, ge=1, description="origins of one stretch")
    stretches_per_batch: int = Field(
        4,
        ge=1,
        description="each of one symbol; with network.across_symbols of all symbols at the same times",
    )
    learning_rate: float = Field(3e-3, gt=0, lt=1, description="of AdamW, at its highest")
    schedule: Schedule = Field(
        Schedule.ONE_CYCLE,
        description="one_cycle: up and down once in all epochs; warm_restarts: a cosine of 10 epochs, then "
        "one of 20, of 40 ...",
    )
    weight_decay: float = Field(0.01, ge=0, description="of matrices, as AdamW has it; vectors have none")
    gradient_clip: float = Field(1.0, gt=0, description="largest norm of the gradient of a step")
    ema_decay: float = Field(0.98, ge=0, lt=1, description="of the weights that are kept, per step")
    keep: Kept = Field(
        Kept.BEST,
        description="whose averaged weights become the model: best (least validation loss) or last epoch",
    )
    patience: int = Field(6, ge=1, description="epochs without a better validation loss before stopping")
    max_skipped: int = Field(
        4,
        ge=1,
        description="steps in a row without a finite loss and gradient before going back to good weights",
    )
    max_rollbacks: int = Field(
        3, ge=0, description="returns to good weights, each with half the learning rate, before giving up"
    )
    level_noise: float = Field(
        0.0,
        ge=0,
        description="sd of a random shift of every input, constant over a stretch, against memorised dates",
    )
    origin_noise: float | None = Field(
        None,
        ge=0,
        description="the same of the origin's inputs but the clock; absent: level_noise",
    )
    horizon_power: float = Field(
        0.5,
        ge=0,
        description="a horizon weighs as its length to minus this: few labels of a long one are independent",
    )
    quantile_weight: float = Field(
        0.5, ge=0, description="of the quantiles' pinball loss; that of volatility, QLIKE, weighs 1"
    )
    direction_weight: float = Field(0.2, ge=0, description="of the cross-entropy of a rise")
    precision: Precision = Field(
        Precision.FLOAT32,
        description="of matrix products and what they give; all else computes in float32",
    )
    checkpointing: bool = Field(
        False, description="compute the encoders' layers again in the gradient: less memory, more time"
    )
    compile: bool = Field(
        False,
        description="let torch compile what it can, where a C++ compiler is; pays in long trainings only",
    )
    threads: int = Field(1, ge=1, description="of torch; more gain little and change the last digits")

    def with_batch_size(self, origins: int) -> TrainingSettings:
        """The same with so many origins a step (rounded up), in as many stretches as before.

        Raises
        ------
        ConfigError
            If it is not at least 1.
        """
        if not is_whole(origins):
            raise ConfigError(f"batch_size must be at least 1 forecast origin a step, got {origins!r}")
        origins = int(origins)
        stretches = min(self.stretches_per_batch, origins)
        sizes = {"stretch": -(-origins // stretches), "stretches_per_batch": stretches}
        return self.model_copy(update=sizes)
