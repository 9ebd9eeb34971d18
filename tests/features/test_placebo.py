"""On a random walk no group of features forecasts anything: a ridge out of sample explains nothing."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from polyscale.features.catalogue import GROUPS
from polyscale.features.context import add_context, market_level
from polyscale.features.feature import FeatureSet
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.scales.grid import to_grid
from tests.features.test_features import funding_for

M5 = Timeframe(5)


def walk(seed):
    return simulate_bars(SimulationSettings(kind="random_walk", days=120, timeframe=M5, seed=seed))


@pytest.fixture(scope="module")
def around():
    bars = walk(1)
    return add_context(
        to_grid(bars, M5), funding_for(bars), market_level({"A": walk(2), "B": walk(3)}, M5, 0)
    )


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("ahead", [1, 12])
def test_a_ridge_on_a_random_walk_explains_nothing(around, group, ahead):
    table = FeatureSet(GROUPS[group]).compute(around, M5).drop("close_time").to_numpy()
    log_close = np.log(around["close"].to_numpy())
    target = np.append(log_close[ahead:] - log_close[:-ahead], np.full(ahead, np.nan))
    rows = np.flatnonzero(np.isfinite(table).all(axis=1) & np.isfinite(target))
    train, test = rows[: len(rows) * 6 // 10 - ahead], rows[len(rows) * 6 // 10 :]
    scaler = StandardScaler().fit(table[train])
    ridge = RidgeCV(alphas=np.logspace(0, 5, 6)).fit(scaler.transform(table[train]), target[train])
    missed = target[test] - ridge.predict(scaler.transform(table[test]))
    r2 = 1 - np.mean(missed**2) / np.mean((target[test] - target[train].mean()) ** 2)
    assert len(test) > 5_000
    assert -0.03 < r2 < 0.03
