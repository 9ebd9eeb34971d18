"""Sizes against their formulas."""

import numpy as np
import pytest

from polyscale.market.timeframe import Timeframe
from polyscale.strategy.sizing import confidence_size, kelly_size, volatility_size

MU = np.array([0.001, -0.002, 0.0])
SIGMA = np.array([0.05, 0.05, 0.05])


def test_confidence_grows_from_nothing_to_the_whole_equity():
    assert confidence_size(np.array([0.5, 0.75, 1.0, 0.0])).tolist() == [0, 0.5, 1, 1]


def test_kelly_is_edge_over_variance_and_not_fixed():
    got = kelly_size(MU, SIGMA, 0.5)
    assert got == pytest.approx([0.5 * 0.001 / 0.0025, 0.5 * 0.002 / 0.0025, 0.0])
    assert len(set(got.tolist())) == 3
    assert kelly_size(MU, 2 * SIGMA, 0.5) == pytest.approx(got / 4)


def test_kelly_without_variance_is_left_to_the_cap():
    assert kelly_size(MU, np.zeros(3), 0.5).tolist() == [np.inf, np.inf, 0]


def test_volatility_size_aims_at_a_years_volatility():
    hourly = np.array([0.01, 0.02, 0.0])
    got = volatility_size(hourly, Timeframe(60), 0.2)
    assert got[:2] * hourly[:2] * np.sqrt(24 * 365) == pytest.approx([0.2, 0.2])
    assert got[2] == np.inf
