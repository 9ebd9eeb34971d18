"""What a leak on show is, and the market that all are shown on: one in which nothing can be known ahead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import polars as pl

from polyscale.audit.outcome import Audit
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe

DAYS: Final = 12
BARS_PER_HOUR: Final = 12
BARS_PER_DAY: Final = 288
_BARS_PER_FUNDING: Final = 96


@dataclass(frozen=True, eq=False)
class Exhibit:
    """A leak as it is written in good faith, and the same without it."""

    name: str
    why: str  # what the row knows that it could not
    run: Callable[[], Audit]
    repaired: Callable[[], Audit]  # must be clean: an audit that cries wolf is switched off


@cache
def five_minutes() -> pl.DataFrame:
    """Twelve days of five-minute bars of a random walk."""
    return simulate_bars(SimulationSettings(days=DAYS, kind="random_walk", seed=7))


@cache
def with_gaps() -> pl.DataFrame:
    """The same with three gaps: of twenty minutes, three hours, and half a day."""
    bars = five_minutes().with_row_index("row")
    gone = [
        pl.col("row").is_between(first, first + num - 1)
        for first, num in ((901, 4), (1_700, 36), (2_500, 144))
    ]
    return bars.filter(~pl.any_horizontal(gone)).drop("row")


@cache
def hours(num_bars: int) -> pl.DataFrame:
    """Hourly bars of a random walk."""
    days = -(-num_bars // 24)
    settings = SimulationSettings(days=days, kind="random_walk", seed=8, timeframe=Timeframe(60))
    return simulate_bars(settings).head(num_bars)


@cache
def funding() -> pl.DataFrame:
    """A rate every eight hours, settled and known at its time."""
    times = five_minutes()["close_time"].gather_every(_BARS_PER_FUNDING, _BARS_PER_FUNDING - 1)
    rates = np.random.default_rng(9).normal(0, 1e-4, len(times))
    return pl.DataFrame({"time": times, "funding_rate": rates})
