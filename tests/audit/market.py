"""Bars and sources that the tests of the audit share."""

import numpy as np
import polars as pl

from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe

CLOSE = pl.col("close")


def five_minutes(days=8, seed=5):
    return simulate_bars(SimulationSettings(days=days, timeframe=Timeframe(5), seed=seed, kind="random_walk"))


def without(bars, first, num):
    return pl.concat([bars.head(first), bars.slice(first + num)])


def funding_of(bars, every=96, seed=2):
    """A rate every eight hours, known at its time."""
    time = bars["close_time"].gather_every(every, 95)
    return pl.DataFrame(
        {"time": time, "funding_rate": np.random.default_rng(seed).normal(0, 1e-4, len(time))}
    )


def found(audit, column):
    """The first finding of a column."""
    return next(finding for finding in audit.findings if finding.column == column)
