"""Which side, how much, how long: worked rows, and causality."""

from datetime import UTC, datetime

import numpy as np
import pytest

from polyscale.market.errors import ConfigError, DataError
from polyscale.market.forecast import Forecast
from polyscale.market.timeframe import Timeframe
from polyscale.strategy.decide import decide
from polyscale.strategy.settings import StrategySettings
from polyscale.strategy.signal import signals, traded_horizon
from tests.backtesting.market import make_bars

HOUR = (Timeframe(60),)
HOURS = (Timeframe(60), Timeframe(180))


def quarters(closes, highs=None, lows=None):
    """Bars of fifteen minutes, the first of them closing where the forecasts begin."""
    rows = zip(closes, highs or closes, lows or closes, closes, strict=True)
    return make_bars(list(rows), Timeframe(15), datetime(2025, 1, 1, 0, 15, tzinfo=UTC))


def forecast_of(prob_up, expected_return, volatility=None, horizons=HOUR):
    n, h = len(prob_up), len(horizons)

    def wide(values):
        return np.repeat(np.array(values, dtype=float)[:, None], h, axis=1)

    sigma = wide([0.01] * n if volatility is None else volatility)
    return Forecast(
        close_time=np.datetime64("2025-01-01T00:15", "ms") + np.arange(n) * np.timedelta64(15, "m"),
        horizons=horizons,
        levels=(0.5,),
        scales=("5m",),
        quantiles=wide(expected_return)[:, :, None],
        prob_up=wide(prob_up),
        volatility=sigma,
        expected_return=wide(expected_return),
        base_volatility=sigma.copy(),
        scale_weights=np.ones((n, 1)),
        cross_attention=np.ones((n, 1, 1)),
    )


def rules(**changes):
    return StrategySettings(**{"sizing": "fixed", "rebalance": 0.0, **changes})


def targets(forecast, settings, cost=0.001):
    return decide(forecast, settings, cost).target.tolist()


def test_confidence_is_the_probability_of_the_chosen_side():
    forecast = forecast_of([0.6, 0.59, 0.4, 0.41, 0.5], [0.01, 0.01, -0.01, -0.01, 0.01])
    assert signals(forecast, rules(confidence=0.6), 0.001).tolist() == [1, 0, -1, 0, 0]


def test_move_must_pay_for_the_round_trip():
    forecast = forecast_of([0.7, 0.7, 0.3, 0.3], [0.002, 0.0019, -0.002, -0.0019])
    assert signals(forecast, rules(edge_over_cost=2), 0.001).tolist() == [1, 0, -1, 0]


def test_forecast_that_contradicts_itself_is_no_signal():
    assert signals(forecast_of([0.7, 0.3], [-0.02, 0.02]), rules(), 0.001).tolist() == [0, 0]


def test_position_is_held_for_one_horizon():
    forecast = forecast_of([0.7] + [0.5] * 6, [0.01] * 7)
    assert targets(forecast, rules()) == [1, 1, 1, 1, 0, 0, 0]


def test_new_signal_holds_on_from_there_and_the_other_side_turns():
    forecast = forecast_of([0.7, 0.5, 0.7, 0.5, 0.5, 0.5, 0.3, 0.5], [0.01] * 6 + [-0.01] * 2)
    assert targets(forecast, rules()) == [1, 1, 1, 1, 1, 1, -1, -1]


def test_signal_to_sell_only_closes_where_shorts_are_forbidden():
    forecast = forecast_of([0.3, 0.7, 0.3, 0.5], [-0.01, 0.01, -0.01, 0.01])
    assert targets(forecast, rules(allow_short=False)) == [0, 1, 0, 0]


def test_small_changes_are_let_be_but_closing_is_not():
    sizes = {"sizing": "confidence", "rebalance": 0.2}
    forecast = forecast_of([0.8, 0.85, 0.95, 0.86, 0.65, 0.5, 0.5, 0.5, 0.5], [0.01] * 9)
    got = targets(forecast, rules(**sizes))
    assert got == pytest.approx([0.6, 0.6, 0.9, 0.9, 0.3, 0.3, 0.3, 0.3, 0.0])
    assert targets(forecast_of([0.59], [0.01]), rules(**sizes)) == [0]


def test_turning_is_never_held_back_by_the_band():
    forecast = forecast_of([0.65, 0.54, 0.45], [0.01, 0.01, -0.01])
    got = targets(forecast, rules(sizing="confidence", rebalance=0.2, confidence=0.5))
    assert got == pytest.approx([0.3, 0.08, -0.1])


def test_no_horizon_means_the_longest():
    forecast = forecast_of([0.7] + [0.5] * 13, [0.01] * 14, horizons=HOURS)
    assert traded_horizon(forecast, rules()) == Timeframe(180)
    assert sum(targets(forecast, rules())) == 12
    assert sum(targets(forecast, rules(horizon="1h"))) == 4


def test_rows_depend_on_the_past_alone():
    rng = np.random.default_rng(5)
    n = 200
    prob_up, sigma = rng.uniform(0.2, 0.8, n), rng.uniform(0.005, 0.02, n)
    expected = np.sign(prob_up - 0.5) * 0.01
    for sizing in ("fixed", "confidence", "kelly", "volatility"):
        settings = rules(sizing=sizing, rebalance=0.05, confidence=0.7, max_leverage=2)
        whole = targets(forecast_of(prob_up, expected, sigma), settings)
        for cut in (1, 50, 199):
            prefix = forecast_of(prob_up[:cut], expected[:cut], sigma[:cut])
            poison = forecast_of(
                np.append(prob_up[:cut], 1 - prob_up[cut:]),
                np.append(expected[:cut], -expected[cut:]),
                np.append(sigma[:cut], 9 * sigma[cut:]),
            )
            assert targets(prefix, settings) == whole[:cut]
            assert targets(poison, settings)[:cut] == whole[:cut]


def test_target_is_capped_and_signed():
    forecast = forecast_of([0.9, 0.1], [0.05, -0.05])
    for sizing in ("kelly", "volatility", "fixed", "confidence"):
        got = targets(forecast, rules(sizing=sizing, max_leverage=0.5, target_volatility=2, kelly_fraction=1))
        assert got == [0.5, -0.5]


def test_what_is_refused():
    forecast = forecast_of([0.7, 0.7], [0.01, 0.01])
    with pytest.raises(ConfigError, match=r"round_trip_cost must be a fraction >= 0, got -1"):
        decide(forecast, rules(), -1)
    with pytest.raises(DataError, match="horizon 1d was not forecast"):
        decide(forecast, rules(horizon="1d"), 0)
    forecast.close_time[1] = forecast.close_time[0]
    with pytest.raises(DataError, match="must rise, broken in row 1"):
        decide(forecast, rules(), 0)


def test_a_position_is_closed_on_time_where_a_gap_leaves_no_forecast():
    forecast = forecast_of([0.7, 0.5], [0.01, 0.0])
    bars = quarters([100.0] * 9)
    late = forecast.at(np.array([0]))  # the next forecast never comes
    positions = decide(late, rules(), 0.001, bars)
    assert positions.target.tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0]
    assert np.array_equal(positions.close_time, bars["close_time"].dt.replace_time_zone(None).to_numpy())


def test_bars_that_lack_a_forecasts_own_are_refused():
    forecast = forecast_of([0.7, 0.5], [0.01, 0.0])
    with pytest.raises(DataError, match=r"1 of 2 are not there, first 2025-01-01T00:30"):
        decide(forecast, rules(), 0.001, quarters([100.0]))
    with pytest.raises(DataError, match=r"2 of 2 are not there"):
        decide(forecast, rules(), 0.001, quarters([100.0])[:0])
