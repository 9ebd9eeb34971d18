"""What a portfolio takes for the risk of a day, and when it lets a change be."""

from dataclasses import replace

import numpy as np
import pytest

from polyscale.strategy.hold import hold_within
from polyscale.strategy.portfolio import build_portfolio
from tests.strategy.test_portfolio import forecast_of, hourly, portfolio_settings, walk, weights_of


def test_the_volatility_of_four_hours_is_scaled_to_a_day():
    bars = {"AAA": hourly(walk(1, 30))}
    whole = forecast_of(bars["AAA"], np.full(30, 0.7), 0.05)
    first = {"quantiles": whole.quantiles[:, :1], "horizons": whole.horizons[:1]}
    names = ("prob_up", "volatility", "expected_return", "base_volatility")
    short = replace(whole, **first, **{name: getattr(whole, name)[:, :1] for name in names})
    settings = portfolio_settings(target_volatility=0.025 * np.sqrt(365))
    weights = weights_of(build_portfolio({"AAA": short}, bars, settings, 0.0))
    np.testing.assert_allclose(weights, 0.5)


@pytest.mark.parametrize(
    ("wished", "held"),
    [
        ([0.5, 0.75, 0.76, 0.5], [0.5, 0.5, 0.76, 0.5]),  # by more than the band, not by all of it
        ([0.5, 0.0, -0.125], [0.5, 0.0, 0.0]),
        ([0.5, -0.125, 0.125, 0.0], [0.5, -0.125, 0.125, 0.0]),
    ],
)
def test_closing_and_turning_are_never_held_back(wished, held):
    assert hold_within(np.array(wished), 0.25).tolist() == held
