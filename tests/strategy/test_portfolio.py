"""Weights of several symbols under limits: worked rows, limits that hold, skfolio as an oracle, causality."""

import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from polyscale.market.errors import ConfigError
from polyscale.market.forecast import Forecast
from polyscale.market.timeframe import Timeframe
from polyscale.strategy.allocation import MIN_RETURNS, allocate, correlation
from polyscale.strategy.portfolio import PortfolioSettings, build_portfolio, limited
from tests.backtesting.market import make_bars

H4, DAY = Timeframe(240), Timeframe(1440)
RULES = {"sizing": "fixed", "rebalance": 0.0, "edge_over_cost": 0.0}


def sleeve(horizon="4h", share=1.0, **changes):
    return {"strategy": {"horizon": horizon, **RULES, **changes}, "share": share}


def portfolio_settings(**changes):
    given = {"sleeves": [sleeve()], "allocation": "equal", "rebalance": 0.0, **changes}
    return PortfolioSettings.model_validate(given)


def hourly(close):
    return make_bars([(c, c, c, c) for c in close])


def forecast_of(bars, prob_up, daily_volatility=0.04):
    """At every close, the same at both horizons."""
    n = bars.height
    sigma = np.broadcast_to(np.asarray(daily_volatility, dtype=float), (n,))
    both = np.column_stack([sigma * np.sqrt(1 / 6), sigma])
    prob = np.repeat(np.asarray(prob_up, dtype=float)[:, None], 2, axis=1)
    drift = np.sign(prob - 0.5) * 0.01
    return Forecast(
        bars["close_time"].dt.replace_time_zone(None).to_numpy().astype("datetime64[ms]"),
        *((H4, DAY), (0.5,), ("1h",)),
        *(drift[:, :, None], prob, both, drift, both.copy()),
        *(np.ones((n, 1)), np.ones((n, 1, 1))),
    )


def walk(seed, n, sigma=0.01):
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, sigma, n)))


def two_markets(n=400, volatility=(0.04, 0.08), prob=(0.7, 0.3)):
    bars = {symbol: hourly(walk(seed, n)) for seed, symbol in enumerate(("AAA", "BBB"))}
    forecasts = {
        symbol: forecast_of(frame, np.full(n, p), v)
        for (symbol, frame), v, p in zip(bars.items(), volatility, prob, strict=True)
    }
    return forecasts, bars


def weights_of(portfolio):
    return np.column_stack([each.target for each in portfolio.positions.values()])


def test_equal_allocation_gives_each_symbol_its_part_of_the_account():
    got = weights_of(build_portfolio(*two_markets(50), portfolio_settings(), 0.0))
    np.testing.assert_allclose(got, np.tile([0.5, -0.5], (50, 1)))


def test_inverse_volatility_gives_the_calm_one_more():
    settings = portfolio_settings(allocation="inverse_volatility")
    got = weights_of(build_portfolio(*two_markets(50), settings, 0.0))
    np.testing.assert_allclose(got, np.tile([2 / 3, -1 / 3], (50, 1)))


def test_sleeves_of_two_horizons_are_summed_and_told_apart():
    forecasts, bars = two_markets(50)
    sleeves = [sleeve("4h", 0.5), sleeve("1d", 0.25, every="1d")]
    found = build_portfolio(forecasts, bars, portfolio_settings(sleeves=sleeves), 0.0)
    assert found.sleeves == ("4h", "1d")
    # the daily sleeve looks at its signal at midnight: the bar that closes at 24:00 is the 24th
    np.testing.assert_allclose(found.wanted[:23, 1], 0.0)
    np.testing.assert_allclose(found.wanted[23:47], np.tile([[0.5, -0.5], [0.25, -0.25]], (24, 1, 1)))
    np.testing.assert_allclose(weights_of(found)[23], [0.375, -0.375])


def test_volatility_target_counts_on_no_diversification_before_there_is_a_past():
    forecasts, bars = two_markets(50, volatility=(0.04, 0.04), prob=(0.7, 0.7))
    settings = portfolio_settings(target_volatility=0.04 * np.sqrt(365) / 2)
    np.testing.assert_allclose(weights_of(build_portfolio(forecasts, bars, settings, 0.0)), 0.25)


def test_volatility_target_is_met_by_the_forecast_covariance():
    n = 24 * 20
    forecasts, bars = two_markets(n)
    settings = portfolio_settings(target_volatility=0.3, gross=9, net=9, per_asset=9, lookback_days=10)
    got = weights_of(build_portfolio(forecasts, bars, settings, 0.0))
    row = 24 * 15 - 1  # a midnight
    past = np.column_stack([np.diff(np.log(b["close"].to_numpy())) for b in bars.values()])[row - 240 : row]
    rho = np.corrcoef(past.T)[0, 1]
    exposed = got[row] * [0.04, 0.08]
    variance = exposed @ np.array([[1, rho], [rho, 1]]) @ exposed
    assert np.sqrt(variance * 365) == pytest.approx(0.3, rel=1e-9)


@given(
    st.lists(st.lists(st.floats(-3, 3), min_size=3, max_size=3), min_size=1, max_size=5),
    st.floats(0.1, 3),
    st.floats(0.05, 3),
    st.floats(0.05, 3),
)
def test_limits_hold_and_change_no_side(weights, gross, net, per_asset):
    given = np.array(weights)
    cut = limited(given, gross, net, per_asset)
    assert (np.abs(cut) <= per_asset * (1 + 1e-12)).all()
    assert (np.abs(cut).sum(axis=1) <= gross * (1 + 1e-9)).all()
    assert (np.abs(cut.sum(axis=1)) <= net * (1 + 1e-9) + 1e-12).all()
    assert (np.sign(cut) * np.sign(given) >= 0).all()
    inside = (
        (np.abs(given).max(axis=1) <= per_asset)
        & (np.abs(given).sum(axis=1) <= gross)
        & (np.abs(given.sum(axis=1)) <= net)
    )
    np.testing.assert_allclose(cut[inside], given[inside], rtol=1e-9)


def test_the_heavier_side_alone_is_cut_to_the_net():
    np.testing.assert_allclose(limited(np.array([[0.6, 0.4, -0.2]]), 2, 0.4, 1), [[0.36, 0.24, -0.2]])


def past_returns(n=500):
    rng = np.random.default_rng(7)
    common = rng.normal(0, 0.01, n)
    return np.column_stack([common + rng.normal(0, s, n) for s in (0.005, 0.01, 0.03)])


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("minimum_variance", "MeanRisk"),
        ("risk_budgeting", "RiskBudgeting"),
        ("maximum_diversification", "MaximumDiversification"),
        ("hierarchical_risk_parity", "HierarchicalRiskParity"),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_optimisers_are_skfolios_on_returns_of_the_forecast_volatility(rule, name):
    optimization = pytest.importorskip("skfolio.optimization")
    past, volatility = past_returns(), np.array([0.02, 0.02, 0.05])
    shares = allocate(rule, volatility, past)
    scaled = past / past.std(axis=0, ddof=1) * volatility
    model = getattr(optimization, name)().fit(scaled / scaled.std())
    np.testing.assert_allclose(shares, model.weights_, atol=1e-5)
    assert shares.sum() == pytest.approx(1)
    assert len(np.unique(shares.round(4))) > 1


def test_risk_budgeting_gives_every_symbol_the_same_part_of_the_risk():
    past, volatility = past_returns(), np.array([0.02, 0.03, 0.05])
    shares = allocate("risk_budgeting", volatility, past)
    covariance = correlation(past) * np.outer(volatility, volatility)
    parts = shares * (covariance @ shares)
    np.testing.assert_allclose(parts / parts.sum(), 1 / 3, atol=2e-3)


def test_an_optimiser_without_ground_is_inverse_volatility():
    past, volatility = past_returns(MIN_RETURNS - 1), np.array([0.01, 0.02, 0.04])
    expected = allocate("inverse_volatility", volatility, past)
    assert allocate("minimum_variance", volatility, past).tolist() == expected.tolist()
    assert correlation(past).tolist() == np.ones((3, 3)).tolist()


def test_a_still_market_is_taken_as_correlated_with_all():
    past = past_returns()
    past[:, 1] = 0.0
    assert correlation(past)[1].tolist() == [1, 1, 1]


def test_without_skfolio_its_rules_name_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "skfolio", None)
    with pytest.raises(ConfigError, match=r"pip install polyscale\[portfolio\]"):
        allocate("risk_budgeting", np.ones(3), past_returns())


def test_weights_depend_on_the_past_alone():
    n, cut = 24 * 15, 24 * 11 + 5
    rng = np.random.default_rng(3)
    prob = {symbol: rng.uniform(0.3, 0.7, n) for symbol in ("AAA", "BBB")}
    close = {symbol: walk(seed, n) for seed, symbol in enumerate(prob)}
    settings = portfolio_settings(
        allocation="risk_budgeting", target_volatility=0.5, lookback_days=7, gross=2, net=2, per_asset=2
    )

    def weights(factor):
        late = np.arange(n) >= cut
        bars = {symbol: hourly(np.where(late, c * factor, c)) for symbol, c in close.items()}
        turned = late & (factor > 1)
        given = {symbol: np.where(turned, 1 - p, p) for symbol, p in prob.items()}
        forecasts = {symbol: forecast_of(frame, given[symbol]) for symbol, frame in bars.items()}
        return weights_of(build_portfolio(forecasts, bars, settings, 0.0))

    whole, poisoned = weights(1.0), weights(3.0)
    assert np.unique(whole).size > 20
    np.testing.assert_array_equal(poisoned[:cut], whole[:cut])


def test_the_band_is_a_share_of_a_symbols_part():
    n = 200
    rng = np.random.default_rng(1)
    bars = {f"S{i:02}": hourly(walk(i, n)) for i in range(12)}
    forecasts = {s: forecast_of(frame, 0.5 + rng.uniform(-0.03, 0.03, n)) for s, frame in bars.items()}
    rules = {"confidence": 0.5, "sizing": "confidence"}
    settings = portfolio_settings(sleeves=[sleeve(**rules)], rebalance=0.05)
    weights = weights_of(build_portfolio(forecasts, bars, settings, 0.0))
    assert 0 < np.abs(weights).max() < 0.006  # a twelfth of 6 %
    moves = np.abs(np.diff(weights, axis=0))
    turned = weights[1:] * weights[:-1] <= 0
    assert moves[(moves > 0) & ~turned].min() > 0.05 / 12


@pytest.mark.parametrize("allocation", ["equal", "inverse_volatility", "risk_budgeting"])
def test_a_symbol_that_comes_later_has_no_part_before_it_is_forecast(allocation):
    n, late = 24 * 12, 24 * 8 + 5
    bars = {symbol: hourly(walk(seed, n)) for seed, symbol in enumerate(("AAA", "BBB"))}
    settings = portfolio_settings(allocation=allocation, target_volatility=0.4)

    def weights(volatility):
        forecasts = {"AAA": forecast_of(bars["AAA"], np.full(n, 0.7))}
        forecasts["BBB"] = forecast_of(bars["BBB"], np.full(n, 0.7), volatility).at(np.arange(late, n))
        return build_portfolio(forecasts, bars, settings, 0.0).positions["AAA"].target

    one, other = weights(0.02), weights(0.2)
    alone = build_portfolio(
        {"AAA": forecast_of(bars["AAA"], np.full(n, 0.7))}, {"AAA": bars["AAA"]}, settings, 0.0
    )
    np.testing.assert_allclose(one[:late], alone.positions["AAA"].target[:late])
    np.testing.assert_array_equal(one[:late], other[:late])
    assert not np.array_equal(one, other) or allocation == "equal"


def test_a_symbol_without_a_bar_keeps_its_weight_and_is_not_decided():
    forecasts, bars = two_markets(60)
    kept = np.delete(np.arange(60), range(30, 40))
    bars["BBB"], forecasts["BBB"] = bars["BBB"][kept], forecasts["BBB"].at(kept)
    found = build_portfolio(forecasts, bars, portfolio_settings(), 0.0)
    assert len(found.positions["AAA"].target) == 60
    assert len(found.positions["BBB"].target) == 50


def test_what_is_refused():
    forecasts, bars = two_markets(30)
    with pytest.raises(ConfigError, match=r"bars of its symbols \['AAA', 'BBB'\], got \['AAA'\]"):
        build_portfolio(forecasts, {"AAA": bars["AAA"]}, portfolio_settings(), 0.0)
    with pytest.raises(ValidationError, match=r"sum to at most 1, got 1\.5"):
        portfolio_settings(sleeves=[sleeve(share=0.75), sleeve("1d", 0.75)])
    with pytest.raises(ValidationError, match="sleeves share one position"):
        portfolio_settings(sleeves=[sleeve(stop_loss=1)])
    assert isinstance(bars["AAA"], pl.DataFrame)
