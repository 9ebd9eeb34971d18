"""How the forecasts of a test period are judged."""

from __future__ import annotations

from pydantic import Field

from polyscale.market.settings import Settings
from polyscale.market.timeframe import Timeframe


class EvaluationSettings(Settings):
    """Which origins are judged, and how sure a claim must be."""

    every: Timeframe = Field(
        Timeframe(60), description="an origin is judged when its close_time lies on this grid"
    )
    confidence: float = Field(0.95, gt=0.5, lt=1.0, description="level of every interval, 0.5 to 1")
    num_bootstrap: int = Field(2000, ge=100, description="resamples behind an interval")
    min_independent: int = Field(
        100, ge=2, description="labels that do not overlap, below which no edge is claimed"
    )
    num_random: int = Field(1000, ge=10, description="random orders that a strategy's timing is held against")
    other_trials: int = Field(
        0, ge=0, description="strategies that were looked at before, for the deflated Sharpe ratio"
    )
    seed: int = Field(0, ge=0, description="of the bootstrap's draws")
