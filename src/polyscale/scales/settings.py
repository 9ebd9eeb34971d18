"""What a scale is: a timeframe, where its rows come from, and how many of them the network sees."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from polyscale.market.settings import Settings
from polyscale.market.timeframe import Timeframe


class ScaleSettings(Settings):
    """One scale of the market."""

    timeframe: Timeframe
    lookback: int = Field(ge=1, description="rows of this scale that a forecast may depend on")
    source: Literal["resample"] = "resample"
    native_history: bool = Field(
        False,
        description="use stored bars of this timeframe from before the base bars, if the overlap agrees",
    )
