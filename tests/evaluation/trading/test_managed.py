"""Volatility-managed holding: closed forms of its figures, whom it prefers, and what is refused."""

import math

import numpy as np
import pytest

from polyscale.evaluation.bootstrap import Bootstrap
from polyscale.evaluation.settings import EvaluationSettings
from polyscale.evaluation.trading.by_period import last_bars, returns_by
from polyscale.evaluation.trading.managed import (
    CONSTANT,
    RISK_AVERSION,
    _miss,
    compare_managed,
    sharpe_difference,
    utility_difference,
)
from polyscale.market.errors import ConfigError, DataError
from polyscale.market.timeframe import Timeframe
from polyscale.strategy.managed import ManagedSettings, volatility_managed
from tests.backtesting.market import HOUR, make_bars, make_settings
from tests.evaluation.trading.market import open_market

DAY = Timeframe(1440)
JUDGED = EvaluationSettings(num_bootstrap=500)
FREE = make_settings(max_leverage=3)


def calm_and_wild(days=120, seed=1):
    """Hourly bars whose volatility changes every ten days; it, over a day, is known."""
    rng = np.random.default_rng(seed)
    daily = np.repeat(np.tile([0.01, 0.06], days // 20), 10)
    hourly = np.repeat(daily, 24) / math.sqrt(24)
    close = 100 * np.exp(np.cumsum(hourly * rng.normal(0, 1, len(hourly)) + hourly.mean() * 0.02))
    opens = np.append(100.0, close[:-1])
    bars = make_bars([(o, max(o, c), min(o, c), c) for o, c in zip(opens, close, strict=True)])
    return bars, np.append(hourly[1:], hourly[-1]) * math.sqrt(24)


def compared(volatilities, bars, costs=FREE, **managed):
    exchange = open_market(costs, timeframe=HOUR, A=bars)
    times = bars["close_time"].dt.replace_time_zone(None).to_numpy().astype("datetime64[ms]")
    settings = ManagedSettings(**{"target_volatility": 0.3, "rebalance": 0.0, "max_leverage": 2.0, **managed})
    return compare_managed(exchange, times, volatilities, DAY, settings, costs, JUDGED)


def test_who_knows_the_volatility_meets_the_target_and_is_preferred():
    bars, known = calm_and_wild()
    blind = np.full_like(known, math.sqrt((0.01**2 + 0.06**2) / 2))

    found = compared({"knows": known, "blind": blind}, bars)

    assert list(found.accounts) == ["knows", "blind", CONSTANT]
    assert found.num_days == 120
    assert found.accounts["knows"].volatility == pytest.approx(0.3, rel=0.15)
    assert found.accounts["knows"].miss < found.accounts["blind"].miss / 2
    assert found.accounts[CONSTANT].mean_target == pytest.approx(found.accounts["knows"].mean_target)
    turned = compared({"blind": blind, "knows": known}, bars).against["knows"]
    assert found.against["blind"].utility.mean == pytest.approx(-turned.utility.mean, rel=1e-9)


def test_the_same_forecast_twice_is_no_difference():
    bars, known = calm_and_wild(60)
    found = compared({"one": known, "other": known.copy()}, bars)
    assert found.against["other"].utility.mean == 0.0
    assert found.against["other"].sharpe_ratio.mean == 0.0
    assert found.against["other"].sharpe_ratio.low == found.against["other"].sharpe_ratio.high == 0.0


def test_costs_are_paid():
    bars, known = calm_and_wild(60)
    costly = make_settings(fee_bps=20, max_leverage=3)
    free, paid = compared({"one": known}, bars), compared({"one": known}, bars, costly)
    assert paid.accounts["one"].costs_share > 0
    assert paid.accounts["one"].total_return < free.accounts["one"].total_return
    assert paid.accounts["one"].turnover > paid.accounts[CONSTANT].turnover


def test_differences_equal_their_closed_forms():
    rng = np.random.default_rng(2)
    own, other = rng.normal(0.001, 0.01, 300), rng.normal(0.0, 0.02, 300)
    bootstrap = Bootstrap(5, num_draws=4000)
    sharpe = sharpe_difference(own, other, bootstrap)
    utility = utility_difference(own, other, bootstrap)
    root = math.sqrt(365)
    assert sharpe.mean == pytest.approx(
        root * (own.mean() / own.std() - other.mean() / other.std()), rel=1e-9
    )
    worth = [r.mean() - RISK_AVERSION / 2 * r.var() for r in (own, other)]
    assert utility.mean == pytest.approx(365 * (worth[0] - worth[1]), rel=1e-9)
    error = root * math.sqrt(2 / 300)  # of a difference of two independent ratios
    assert sharpe.high - sharpe.low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_the_interval_of_a_sharpe_difference_holds_the_truth():
    held = 0
    for seed in range(200):
        own, other = np.random.default_rng(seed).normal(0.0005, 0.01, (2, 200))
        interval = sharpe_difference(own, other, Bootstrap(4, num_draws=500, seed=seed))
        held += interval.low <= 0.0 <= interval.high
    assert held >= 180


def test_returns_that_do_not_vary_have_no_sharpe_difference():
    assert sharpe_difference(np.zeros(50), np.random.default_rng(0).normal(0, 1, 50), Bootstrap(3)) is None


def test_returns_by_day_begin_with_the_initial_capital():
    bars, known = calm_and_wild(20)
    exchange = open_market(FREE, timeframe=HOUR, A=bars)
    times = bars["close_time"].dt.replace_time_zone(None).to_numpy().astype("datetime64[ms]")
    result = exchange.run({"A": volatility_managed(times, known, DAY, ManagedSettings())}, FREE)
    daily = returns_by(result, DAY)
    assert len(daily) == 20
    assert np.prod(1 + daily) == pytest.approx(result.equity[-1] / 1000, rel=1e-12)
    assert last_bars(result.grid, DAY).tolist() == list(range(23, 480, 24))
    with pytest.raises(ConfigError, match="90m"):
        last_bars(result.grid, Timeframe(90))


def test_an_account_that_stands_still_for_a_week_has_no_miss():
    moving = np.tile([0.01, -0.01], 14)
    assert _miss(moving, 0.2) == pytest.approx(abs(math.log(0.01 * math.sqrt(365) / 0.2)))
    assert _miss(np.append(moving, np.zeros(7)), 0.2) is None
    assert _miss(moving[:6], 0.2) is None


def test_what_is_refused():
    bars, known = calm_and_wild(20)
    with pytest.raises(DataError, match="got 0 forecasts"):
        compared({}, bars)
    exchange = open_market(FREE, timeframe=HOUR, A=bars, B=bars)
    times = bars["close_time"].dt.replace_time_zone(None).to_numpy()
    with pytest.raises(DataError, match=r"of one symbol, got 1 forecasts of \['A', 'B'\]"):
        compare_managed(exchange, times, {"one": known}, DAY, ManagedSettings(), FREE, JUDGED)


def test_figures_of_an_account_are_those_of_its_days():
    bars, known = calm_and_wild(40)
    found = compared({"one": known}, bars).accounts["one"]
    exchange = open_market(FREE, timeframe=HOUR, A=bars)
    times = bars["close_time"].dt.replace_time_zone(None).to_numpy().astype("datetime64[ms]")
    settings = ManagedSettings(target_volatility=0.3, rebalance=0.0, max_leverage=2.0)
    daily = returns_by(exchange.run({"A": volatility_managed(times, known, DAY, settings)}, FREE), DAY)
    assert found.volatility == pytest.approx(daily.std(ddof=1) * math.sqrt(365))
    assert found.sharpe_ratio == pytest.approx(daily.mean() / daily.std(ddof=1) * math.sqrt(365))
    weeks = [daily[i : i + 7] for i in range(0, 35, 7)]
    missed = [abs(math.log(math.sqrt(np.square(week).mean() * 365) / 0.3)) for week in weeks]
    assert found.miss == pytest.approx(np.mean(missed))
