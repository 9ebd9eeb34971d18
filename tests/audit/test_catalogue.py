"""The catalogue under audit: clean as it is, caught when any one operation looks ahead."""

import numpy as np
import polars as pl
import pytest

from polyscale.audit import Plan, check
from polyscale.features.catalogue import CATALOGUE, GROUPS
from polyscale.features.context import add_context, market_level
from polyscale.features.feature import FeatureSet
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.scales.grid import to_grid
from tests.audit.mutants import Mutation, instrument, mutant, num_calls
from tests.features.test_features import funding_for

M15 = Timeframe(15)
FUNDING = {feature.name for feature in GROUPS["funding"]}
WITHOUT_VMD = [feature for name, group in GROUPS.items() if name != "vmd" for feature in group]


@pytest.fixture(scope="module")
def given(bars):
    """Bars, and the sources that features know beside them."""
    other = simulate_bars(SimulationSettings(days=40, timeframe=M15, seed=5))
    return bars, {"funding": funding_for(bars), "other": other}


def stage(features):
    def compute(bars, funding, other):
        return FeatureSet(tuple(features)).compute(surrounded(bars, funding, other), M15)

    return compute


def surrounded(bars, funding, other):
    return add_context(to_grid(bars, M15), funding, market_level({"OTHER": other}, M15, 0))


def test_no_feature_looks_ahead_and_all_are_warm_when_they_say_so(given):
    bars, sources = given
    warm_up = {feature.name: feature.warm_bars(M15) for feature in CATALOGUE.values()}
    found = check(
        stage(CATALOGUE.values()), bars, sources, warm_up=warm_up, plan=Plan(newest_cuts=20, truncations=2)
    )
    assert found.clean, str(found)


def test_no_feature_looks_ahead_across_holes(given):
    bars, sources = given
    holed = pl.concat([bars.head(3_000), bars.slice(3_001, 400), bars.slice(3_461)])
    found = check(stage(WITHOUT_VMD), holed, sources, plan=Plan(newest_cuts=20, truncations=0))
    assert found.clean, str(found)


def mutants_caught(given, monkeypatch, number, seed):
    """How many of so many catalogues with a leak are found out, at the right feature and no other."""
    bars, sources = given
    bars, rng = bars.head(3_000), np.random.default_rng(seed)
    instrument(monkeypatch)
    whole, caught = surrounded(bars, **sources), 0
    plan = Plan(whole_cuts=2, newest_cuts=20, truncations=0, locate=0)
    candidates = [feature for feature in WITHOUT_VMD if num_calls(feature, whole, M15)]
    for _ in range(number):
        chosen = candidates[rng.integers(len(candidates))]
        call = 1 + int(rng.integers(num_calls(chosen, whole, M15)))
        mutation = Mutation(call, int(rng.integers(1, 61)), bool(rng.integers(2)))
        catalogue = [mutant(f, mutation) if f is chosen else f for f in WITHOUT_VMD]
        columns = {finding.column for finding in check(stage(catalogue), bars, sources, plan=plan).findings}
        assert columns <= {chosen.name}
        caught += bool(columns)
    return caught


def test_operations_that_look_ahead_are_caught(given, monkeypatch):
    assert mutants_caught(given, monkeypatch, 15, seed=1) == 15


@pytest.mark.slow
def test_of_two_hundred_catalogues_with_a_leak_at_least_198_are_caught(given, monkeypatch):
    assert mutants_caught(given, monkeypatch, 200, seed=2) >= 198
