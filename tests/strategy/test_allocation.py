"""Sharing an account out where not every symbol has a past: late ones, those that stand still, hedges."""

import numpy as np
import pytest

from polyscale.strategy.allocation import MIN_RETURNS, allocate, correlation, variance
from polyscale.strategy.portfolio import build_portfolio
from tests.strategy.test_portfolio import (
    forecast_of,
    hourly,
    past_returns,
    portfolio_settings,
    sleeve,
    two_markets,
    walk,
    weights_of,
)

OPTIMISERS = ("minimum_variance", "risk_budgeting", "maximum_diversification", "hierarchical_risk_parity")
VOLATILITY = np.array([0.02, 0.03, 0.05])


@pytest.mark.parametrize("rule", OPTIMISERS)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_price_that_stands_still_has_its_share_of_inverse_volatility(rule):
    pytest.importorskip("skfolio.optimization")
    past = past_returns()
    past[:, 1] = 0.0
    shares = allocate(rule, VOLATILITY, past)
    assert shares[1] == pytest.approx((1 / 0.03) / (1 / VOLATILITY).sum())
    moving = allocate(rule, VOLATILITY[[0, 2]], past[:, [0, 2]])
    np.testing.assert_allclose(shares[[0, 2]], (1 - shares[1]) * moving)
    np.testing.assert_allclose(
        allocate(rule, VOLATILITY, 0 * past), allocate("inverse_volatility", VOLATILITY, past)
    )


@pytest.mark.parametrize("rule", ["minimum_variance", "risk_budgeting"])
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_symbol_with_too_short_a_past_is_not_optimised(rule):
    pytest.importorskip("skfolio.optimization")
    past = past_returns()
    past[: 1 - MIN_RETURNS, 2] = np.nan
    assert allocate(rule, VOLATILITY, past)[2] == pytest.approx((1 / 0.05) / (1 / VOLATILITY).sum())


def test_a_late_symbol_is_correlated_by_the_returns_that_it_has():
    past = past_returns()
    past[:350, 2] = np.nan
    np.testing.assert_allclose(correlation(past), np.corrcoef(past[350:].T))


def test_an_unknown_correlation_never_hedges():
    past = past_returns()
    past[1 - MIN_RETURNS :, 2], past[: 1 - MIN_RETURNS, 2] = 0.01, np.nan
    known = np.corrcoef(past[:, 0], past[:, 1])[0, 1]
    exposed = np.array([[0.5, -0.5, -0.3], [0.5, -0.5, 0.3]])
    pair = 0.25 + 0.25 - 2 * 0.25 * known
    np.testing.assert_allclose(variance(exposed, past), pair + 0.09 + 2 * 0.3 * (0.5 + 0.5))
    few = past_returns(MIN_RETURNS - 1)
    np.testing.assert_allclose(variance(exposed, few), [1.3**2, 1.3**2])


def test_a_long_and_a_short_without_a_past_are_held_at_the_target_volatility():
    forecasts, bars = two_markets(50, volatility=(0.04, 0.04), prob=(0.7, 0.3))
    settings = portfolio_settings(target_volatility=0.04 * np.sqrt(365) / 2)
    got = weights_of(build_portfolio(forecasts, bars, settings, 0.0))
    np.testing.assert_allclose(got, np.tile([0.25, -0.25], (50, 1)))


def test_a_late_listing_does_not_look_like_diversification():
    n, late = 24 * 40, 24 * 33
    rng = np.random.default_rng(5)
    common = rng.normal(0, 0.01, n)
    close = {s: 100 * np.exp(np.cumsum(common + rng.normal(0, 0.001, n))) for s in ("AAA", "BBB")}
    bars = {"AAA": hourly(close["AAA"]), "BBB": hourly(close["BBB"])[late:]}
    forecasts = {s: forecast_of(frame, np.full(frame.height, 0.7)) for s, frame in bars.items()}
    settings = portfolio_settings(
        sleeves=[sleeve()], target_volatility=0.3, gross=9, net=9, per_asset=9, lookback_days=30
    )
    found = build_portfolio(forecasts, bars, settings, 0.0)
    exposed = sum(positions.target[-1] for positions in found.positions.values()) * 0.04
    assert exposed * np.sqrt(365) == pytest.approx(0.3, rel=0.01)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_symbol_that_ended_before_the_lookback_does_not_stop_an_optimiser():
    pytest.importorskip("skfolio.optimization")
    n, end = 24 * 15, 24 * 6
    bars = {s: hourly(walk(seed, n)) for seed, s in enumerate(("AAA", "BBB", "CCC"))}
    bars["CCC"] = bars["CCC"][:end]
    forecasts = {s: forecast_of(frame, np.full(frame.height, 0.7)) for s, frame in bars.items()}
    settings = portfolio_settings(allocation="risk_budgeting", lookback_days=5)
    found = build_portfolio(forecasts, bars, settings, 0.0)
    assert 0 < found.positions["AAA"].target[-1] < 1


def test_a_portfolio_that_never_has_a_past_says_so(caplog):
    forecasts, bars = two_markets(MIN_RETURNS - 10)
    build_portfolio(forecasts, bars, portfolio_settings(allocation="risk_budgeting"), 0.0)
    assert "every optimiser is inverse volatility" in caplog.text
    caplog.clear()
    forecasts, bars = two_markets(24 * 10)
    build_portfolio(forecasts, bars, portfolio_settings(allocation="inverse_volatility"), 0.0)
    assert not caplog.text
