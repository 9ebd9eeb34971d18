"""How much an audit does."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from polyscale.market.settings import Settings


class Plan(Settings):
    """Cuts, tolerance, and how many findings are followed to their source."""

    whole_cuts: Annotated[int, Field(ge=0)] | tuple[datetime, ...] = Field(
        3, description="instants at which all rows are compared under all wrecks; a number, or the instants"
    )
    newest_cuts: int = Field(
        40, ge=0, description="instants, many at turns of timeframes, with one poison each"
    )
    truncations: int = Field(
        3, ge=0, description="starts of the bars for the test of the warm-up; 0: no test"
    )
    locate: int = Field(8, ge=0, description="columns whose source and reach are looked for")
    relative: float = Field(1e-9, ge=0, lt=1, description="of a value, and of its column's median size")
    relative_of: dict[str, float] = Field(
        {}, description="the same for columns whose names begin so: a network in float32 is less exact"
    )
    threads: int = Field(1, ge=1, description="runs at a time; more than one only of a stage that may be")
    seed: int = Field(1, ge=0, description="of the cuts' jitter and of the wrecked values")

    def tolerance(self, column: str) -> float:
        """How exact a column must be."""
        own = [value for start, value in self.relative_of.items() if column.startswith(start)]
        return max(own, default=self.relative)
