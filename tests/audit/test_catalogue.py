"""The audit of all features at once, in every context: bars with gaps, funding, another symbol."""

import numpy as np
import polars as pl

from polyscale.audit import Plan, check
from polyscale.features.catalogue import CATALOGUE
from polyscale.features.context import Context, add_context
from polyscale.features.feature import select
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.scales.grid import to_grid
from tests.audit.market import found, without

M15 = Timeframe(15)
ALL = select(list(CATALOGUE), CATALOGUE)
BARS = simulate_bars(SimulationSettings(days=40, timeframe=M15, seed=3))
OTHER = simulate_bars(SimulationSettings(days=40, timeframe=M15, seed=5))
FUNDING = (
    BARS.select(time="close_time")
    .gather_every(32, 31)
    .with_columns(funding_rate=1e-4 * np.sin(np.arange(BARS.height // 32)))
)
SOURCES = {"funding": FUNDING, "other": OTHER}
WARM_UP = {feature.name: feature.warm_bars(M15) for feature in ALL.features}


def features(bars, funding, other):
    return ALL.compute(add_context(to_grid(bars, M15), Context(funding, {"OTHER": other})), M15)


def test_no_feature_knows_its_future_and_each_is_warm_when_it_says():
    audit = check(
        features, BARS, SOURCES, warm_up=WARM_UP, memory=ALL.warm_up(M15), plan=Plan(newest_cuts=16)
    )
    assert audit.findings == ()


def test_no_feature_knows_its_future_beside_gaps():
    holed = without(without(BARS, 2_000, 3), 2_900, 40)
    assert check(features, holed, SOURCES, plan=Plan(whole_cuts=1, newest_cuts=12, truncations=0)).clean


def test_a_peek_at_the_other_symbol_is_found():
    def peeking(bars, funding, other):
        return features(bars, funding, other.with_columns(pl.col("close").shift(-1).forward_fill()))

    audit = check(peeking, BARS, SOURCES, plan=Plan(whole_cuts=1, newest_cuts=0, truncations=0, locate=1))
    assert found(audit, audit.findings[0].column).source == "other.close"
