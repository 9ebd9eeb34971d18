"""Several positions of one symbol as one, the band around a target, and holding by volatility."""

import numpy as np
import pytest
from pydantic import ValidationError

from polyscale.market.errors import ConfigError, DataError
from polyscale.market.position import Positions
from polyscale.market.timeframe import Timeframe
from polyscale.strategy.combine import at_closes, combine
from polyscale.strategy.hold import hold_within
from polyscale.strategy.managed import ManagedSettings, volatility_managed

HOUR = Timeframe(60)


def positions(hours, target, **levels):
    times = np.datetime64("2025-01-01", "ms") + np.array(hours) * np.timedelta64(1, "h")
    given = {name: np.array(level, dtype=float) for name, level in levels.items()}
    return Positions(times, np.array(target, dtype=float), **given)


def test_a_combination_sums_what_is_in_force_at_every_close():
    every, slow = positions([1, 2, 3, 4], [1, -1, 0, 1]), positions([2, 4], [1, 0])
    both = combine([every, slow])
    assert both.target.tolist() == [0.5, 0.0, 0.5, 0.5]
    assert combine([every, slow], [0.2, 0.6]).target == pytest.approx([0.2, 0.4, 0.6, 0.2])
    assert at_closes(slow, both.close_time).tolist() == [0, 1, 1, 0]


def test_what_cannot_be_combined_is_refused():
    with pytest.raises(ConfigError, match="a share per part, got 0 parts"):
        combine([])
    with pytest.raises(ConfigError, match="got 1 parts, shares"):
        combine([positions([1], [1])], [0.5, 0.5])
    with pytest.raises(ConfigError, match="stop or take-profit cannot be combined"):
        combine([positions([1], [1], stop=[90])])


def test_a_target_moves_only_beyond_its_band_but_closes_and_turns_at_once():
    wished = np.array([0.04, 0.3, 0.34, 0.36, 0.31, -0.01, 0.0, 0.02])
    assert hold_within(wished, 0.05).tolist() == [0, 0.3, 0.3, 0.36, 0.36, -0.01, 0, 0]
    assert hold_within(wished, 0.0).tolist() == wished.tolist()


def test_volatility_managed_holding_aims_at_a_years_volatility():
    times = positions(range(1, 7), [0] * 6).close_time
    volatility = np.array([0.2, 0.1, 0.4, 0.2, 0.2, 0.001]) / np.sqrt(365 * 24)
    settings = ManagedSettings(target_volatility=0.1, every="2h", rebalance=0.0, max_leverage=1.5)
    held = volatility_managed(times, volatility, HOUR, settings)
    assert held.close_time.tolist() == times[1::2].tolist()
    assert held.target == pytest.approx([1.0, 0.5, 1.5])


def test_a_volatility_that_is_none_is_refused():
    times = positions([24, 48], [0, 0]).close_time
    with pytest.raises(DataError, match="finite number > 0"):
        volatility_managed(times, np.array([0.1, 0.0]), HOUR, ManagedSettings())
    with pytest.raises(DataError, match="no forecast is made at a close of 1d"):
        volatility_managed(times + np.timedelta64(1, "h"), np.array([0.1, 0.1]), HOUR, ManagedSettings())
    with pytest.raises(ValidationError, match="target_volatility"):
        ManagedSettings(target_volatility=0)
