import numpy as np
import pytest

from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe


def returns(**settings):
    bars = simulate_bars(SimulationSettings(**settings))
    return np.diff(np.log(bars["close"].to_numpy()))


def autocorrelation(values, lag):
    centred = values - values.mean()
    return (centred[lag:] * centred[:-lag]).mean() / centred.var()


@pytest.mark.parametrize("kind", ["realistic", "planted", "random_walk"])
def test_the_same_seed_gives_the_same_bars(kind):
    first, again, other = (simulate_bars(SimulationSettings(kind=kind, days=3, seed=s)) for s in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)


def test_realistic_volatility_clusters_at_hours_and_days_and_returns_do_not():
    r = returns(days=120, seed=5)
    squared = np.minimum(r**2, np.quantile(r**2, 0.99))
    assert autocorrelation(squared, 6) > 0.15
    assert autocorrelation(squared, 288) > 0.05
    assert abs(autocorrelation(r, 1)) < 0.03


def test_random_walk_has_neither():
    r = returns(kind="random_walk", days=120, seed=5)
    assert abs(autocorrelation(r**2, 6)) < 0.03
    assert abs(autocorrelation(r, 1)) < 0.03


def test_volume_follows_volatility():
    bars = simulate_bars(SimulationSettings(days=30, seed=6))
    log_range = np.log(np.log(bars["high"] / bars["low"]).to_numpy() + 1e-9)
    assert np.corrcoef(log_range, np.log(bars["volume"].to_numpy()))[0, 1] > 0.4


def test_planted_agreement_of_scales_tells_what_follows():
    r = returns(kind="planted", days=120, seed=7)
    path = np.concatenate([[0], np.cumsum(r)])
    short, long = path[288:-1] - path[252:-37], path[252:-37] - path[:-289]
    agreement = np.sign(short) * np.sign(long)
    following = np.abs(r[288:])
    assert following[agreement > 0].mean() > 1.3 * following[agreement < 0].mean()


@pytest.mark.parametrize("kind", ["realistic", "planted", "random_walk"])
def test_daily_bars_can_be_made(kind):
    bars = simulate_bars(SimulationSettings(kind=kind, days=30, timeframe=Timeframe(1_440)))
    assert bars.height == 30
