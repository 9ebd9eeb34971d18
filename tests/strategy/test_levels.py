"""Rules of entry and exit beyond the signal: agreement, grid, early exit, stop, take-profit, limit."""

import numpy as np
import pytest

from polyscale.backtesting.engine import run_backtest
from polyscale.market.errors import ConfigError, DataError
from polyscale.market.timeframe import Timeframe
from polyscale.strategy.decide import decide
from polyscale.strategy.signal import signals
from tests.backtesting.market import make_settings
from tests.strategy.test_signal import HOURS, forecast_of, quarters, rules, targets

UP, FLAT = 0.7, 0.5


def with_other_horizon(forecast, prob_up):
    forecast.prob_up.setflags(write=True)
    forecast.prob_up[:, 0] = prob_up
    return forecast


def test_agreeing_horizons_must_point_to_the_same_side():
    forecast = with_other_horizon(forecast_of([UP] * 3, [0.01] * 3, horizons=HOURS), [0.6, 0.5, 0.4])
    assert signals(forecast, rules(), 0.001).tolist() == [1, 1, 1]
    assert signals(forecast, rules(agree=["1h"]), 0.001).tolist() == [1, 0, 0]
    with pytest.raises(DataError, match="horizon 4h was not forecast"):
        signals(forecast, rules(agree=["4h"]), 0.001)


def test_signals_off_the_grid_are_not_looked_at():
    forecast = forecast_of([UP] * 6, [0.01] * 6)  # closes at 00:15, 00:30, 00:45, 01:00 ...
    assert signals(forecast, rules(every="30m"), 0.001).tolist() == [0, 1, 0, 1, 0, 1]
    assert targets(forecast, rules(every="1h")) == [0, 0, 0, 1, 1, 1]


def test_a_position_is_left_early_where_its_side_becomes_unlikely():
    forecast = forecast_of([UP, 0.52, 0.49, FLAT], [0.01] * 4)
    assert targets(forecast, rules()) == [1, 1, 1, 1]
    assert targets(forecast, rules(exit_below=0.5)) == [1, 1, 0, 0]
    short = forecast_of([0.3, 0.48, 0.51, FLAT], [-0.01] * 4)
    assert targets(short, rules(exit_below=0.5)) == [-1, -1, 0, 0]


def test_levels_are_distances_from_the_entry_in_forecast_volatilities():
    forecast = forecast_of([UP, FLAT, 0.3], [0.01, 0.0, -0.01], [0.01, 0.5, 0.02])
    positions = decide(
        forecast, rules(stop_loss=2, take_profit=3), 0.001, quarters([100.0, 100.0, 50.0], lows=[100, 99, 50])
    )
    assert positions.target.tolist() == [1, 1, -1]
    np.testing.assert_allclose(positions.stop, [100 * np.exp(-0.02)] * 2 + [50 * np.exp(0.04)])
    np.testing.assert_allclose(positions.take_profit, [100 * np.exp(0.03)] * 2 + [50 * np.exp(-0.06)])
    assert positions.limit is None


def test_a_level_that_is_not_asked_for_is_none():
    bars = quarters([100.0, 100.0])
    positions = decide(forecast_of([UP, UP], [0.01] * 2), rules(stop_loss=1), 0.001, bars)
    assert positions.take_profit is None
    assert np.isfinite(positions.stop).all()


def test_resizing_does_not_move_the_stop_of_the_entry():
    sizes = rules(sizing="confidence", stop_loss=2)
    positions = decide(forecast_of([0.7, 0.8], [0.01] * 2), sizes, 0.001, quarters([100.0, 110.0]))
    assert positions.target == pytest.approx([0.4, 0.6])
    assert positions.stop == pytest.approx([100 * np.exp(-0.02)] * 2)


def test_after_a_stop_the_side_is_barred_until_its_horizon_has_passed():
    forecast = forecast_of([UP] * 7, [0.01] * 7)
    bars = quarters([100.0] * 7, lows=[100, 100, 97, 100, 100, 100, 100])
    positions = decide(forecast, rules(stop_loss=2), 0.001, bars)
    # the signal at row 1 holds until row 5; the stop at 98.02 is reached in row 2
    assert positions.target.tolist() == [1, 1, 0, 0, 0, 1, 1]
    assert np.isnan(positions.stop[2:5]).all()


def test_a_stop_at_the_end_of_the_horizon_is_a_stop_and_the_next_signal_an_entry():
    forecast = forecast_of([UP] + [FLAT] * 3 + [UP, UP], [0.01] * 6)
    bars = quarters([100.0] * 6, lows=[100, 100, 100, 100, 97, 100])
    positions = decide(forecast, rules(stop_loss=2), 0.001, bars)
    # held from row 0 to row 4, where the horizon ends, the stop is touched and the same side is asked for
    assert positions.target.tolist() == [1, 1, 1, 1, 0, 1]
    assert positions.stop[5] == pytest.approx(100 * np.exp(-0.02))
    assert run_backtest(bars, Timeframe(15), positions, make_settings(), None).n_trades == 1


@pytest.mark.parametrize("seed", range(20))
def test_the_backtest_takes_whatever_levels_are_decided(seed):
    rng = np.random.default_rng(seed)
    n = 400
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.004, n)))
    highs, lows = (close * np.exp(sign * np.abs(rng.normal(0, 0.003, n))) for sign in (1, -1))
    bars = quarters(close.tolist(), highs.tolist(), lows.tolist())
    prob_up = rng.uniform(0.3, 0.7, n)
    forecast = forecast_of(prob_up, np.sign(prob_up - 0.5) * 0.01, rng.uniform(0.002, 0.01, n))
    levels = {"stop_loss": rng.uniform(0.3, 2), "take_profit": rng.uniform(0.3, 2)}
    settings = rules(**levels, entry=rng.choice(["market", "limit"]), sizing="confidence", confidence=0.55)
    result = run_backtest(bars, Timeframe(15), decide(forecast, settings, 0.0, bars), make_settings(), None)
    assert result.n_trades > 20


def test_after_a_stop_the_other_side_may_be_taken_at_once():
    forecast = forecast_of([UP, 0.3, FLAT], [0.01, -0.01, 0.0])
    bars = quarters([100.0] * 3, lows=[100, 90, 100])
    assert decide(forecast, rules(stop_loss=2), 0.001, bars).target.tolist() == [1, -1, -1]


@pytest.mark.parametrize(("high", "left"), [(103.0, True), (102.0, False)])
def test_a_take_profit_must_be_traded_through(high, left):
    forecast = forecast_of([UP, FLAT, FLAT], [0.01, 0, 0], [np.log(1.02)] * 3)
    bars = quarters([100.0] * 3, highs=[100, high, 100])
    target = decide(forecast, rules(take_profit=1), 0.001, bars).target
    assert target.tolist() == ([1, 0, 0] if left else [1, 1, 1])


def test_the_bar_of_the_signal_cannot_stop_what_is_entered_after_it():
    bars = quarters([100.0, 100.0], lows=[50, 100])
    assert decide(forecast_of([UP, FLAT], [0.01, 0]), rules(stop_loss=1), 0.001, bars).target.tolist() == [
        1,
        1,
    ]


def test_limit_entries_ask_for_the_close_of_their_signal_and_exits_go_to_the_market():
    forecast = forecast_of([UP] + [FLAT] * 5, [0.01] * 6)
    bars = quarters([100.0, 101.0, 102.0, 103.0, 104.0, 105.0])
    positions = decide(forecast, rules(entry="limit"), 0.001, bars)
    assert positions.target.tolist() == [1, 1, 1, 1, 0, 0]
    assert positions.limit[:4].tolist() == [100] * 4
    assert np.isnan(positions.limit[4:]).all()


def test_fixed_size_is_a_setting():
    assert targets(forecast_of([UP, 0.3], [0.01, -0.01]), rules(size=0.25)) == [0.25, -0.25]


def test_levels_without_bars_are_refused():
    forecast = forecast_of([UP], [0.01])
    for change in ({"stop_loss": 1}, {"take_profit": 1}, {"entry": "limit"}):
        with pytest.raises(ConfigError, match="give the bars to decide"):
            decide(forecast, rules(**change), 0.001)


def test_levels_depend_on_the_past_alone():
    rng = np.random.default_rng(6)
    n = 300
    prob_up, sigma = rng.uniform(0.2, 0.8, n), rng.uniform(0.005, 0.02, n)
    expected = np.sign(prob_up - 0.5) * 0.01
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
    highs, lows = close * 1.005, close * 0.995
    settings = rules(
        stop_loss=1, take_profit=1.5, entry="limit", exit_below=0.45, every="30m", rebalance=0.05
    )

    def decided(cut, factor):
        scale = np.where(np.arange(n) < cut, 1.0, factor)
        forecast = forecast_of(prob_up, expected, sigma * scale)
        bars = quarters(*[(x * scale).tolist() for x in (close, highs, lows)])
        return decide(forecast, settings, 0.001, bars)

    whole = decided(n, 1.0)
    assert 10 < np.count_nonzero(np.diff(whole.target)) < n
    for cut in (1, 77, 150, 299):
        poisoned = decided(cut, 3.0)
        for name in ("target", "limit", "stop", "take_profit"):
            np.testing.assert_array_equal(getattr(poisoned, name)[:cut], getattr(whole, name)[:cut])


def test_every_refuses_what_is_no_timeframe():
    with pytest.raises(ValueError, match="7x"):
        rules(every="7x")
    assert rules(every="4h").every == Timeframe(240)
