"""How the base forecast is fitted."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, model_validator

from polyscale.market.settings import Settings


class Kind(StrEnum):
    """What the network corrects."""

    HAR = "har"  # the rolling regression
    DAY = "day"  # the variance of the last day: to see what the regression is worth


class BaseSettings(Settings):
    """The rolling regression of log realised variance."""

    kind: Kind = Field(
        Kind.HAR, description="har: the rolling regression; day: the variance of the last day, for comparison"
    )
    window_days: int = Field(120, ge=1, description="matured rows of the last so many days are fitted")
    min_days: int = Field(14, ge=1, description="no forecast before so many days of matured rows")
    every_minutes: int = Field(15, ge=1, description="one row in so many minutes is fitted")

    @model_validator(mode="after")
    def _window_holds_minimum(self) -> BaseSettings:
        """`min_days` is at most `window_days`."""
        if self.min_days > self.window_days:
            raise ValueError(f"min_days must be <= window_days ({self.window_days}), got {self.min_days}")
        return self
