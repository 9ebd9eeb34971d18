"""The chapter's backtest: costs reach every number, sizes differ, a threshold is a probability."""

import numpy as np
import pandas as pd
import pytest

from polyscale.chapter import backtest_multi_scale_strategy
from polyscale.market.errors import ConfigError, DataError
from tests.chapter.candles import as_the_chapter_has_them, klines


def said(candles, up=0.7, move=0.01):
    """The same forecast at every close."""
    n = len(candles)
    direction = np.full((n, 3), up)
    returns = np.full(n, move)
    return {"short_term": returns, "medium_term": returns, "long_term": returns, "direction": direction}


def steady(bars=2_880, growth=1e-5):
    """Candles that rise by the same fraction a minute, half of the time in pairs up and down."""
    close = 100 * np.exp(growth * np.arange(1, bars + 1) + 1e-4 * (np.arange(bars) % 2))
    opens = np.concatenate([[100.0], close[:-1]])
    index = pd.date_range("2025-01-01 00:01", periods=bars, freq="1min", tz="UTC", name="close_time")
    highest, lowest = np.maximum(opens, close), np.minimum(opens, close)
    columns = {"open": opens, "high": highest, "low": lowest, "close": close, "volume": 1.0}
    return pd.DataFrame(columns, index=index)


def test_a_whole_long_position_is_bought_at_the_next_open_and_pays_its_cost():
    candles = steady()
    found = backtest_multi_scale_strategy(
        said(candles), candles, position_sizing="fixed", transaction_cost=0.001
    )
    decided = candles.index.get_loc(found.equity_curve.index[0])
    bought = candles["open"].iloc[decided + 1]
    units = 100_000 / (bought * 1.001)  # it pays for the coins and their fee
    assert found.equity_curve.iloc[-1] == pytest.approx(units * candles["close"].iloc[-1], rel=1e-6)
    assert found.n_trades == 1
    assert found.equity_curve.index[-1] == candles.index[-1]
    assert found.total_return == pytest.approx(found.equity_curve.iloc[-1] / 100_000 - 1)


def test_costs_reach_the_sharpe_ratio():
    candles = klines(8)
    up = 0.5 + 0.3 * np.sign(np.sin(np.arange(len(candles)) / 40))
    sides = {**said(candles), "direction": np.repeat(up[:, None], 3, axis=1)}
    for term in ("short_term", "medium_term", "long_term"):
        sides[term] = up - 0.5
    free, dear = (
        backtest_multi_scale_strategy(sides, candles, transaction_cost=cost) for cost in (0.0, 0.002)
    )
    assert dear.sharpe_ratio < free.sharpe_ratio
    assert dear.total_return < free.total_return
    assert dear.n_trades > 50
    assert dear.details.costs.fees > 0
    assert free.details.costs.total == 0


def test_a_threshold_is_the_probability_of_the_chosen_side():
    candles = klines(4)
    traded = {
        (up, threshold): backtest_multi_scale_strategy(
            said(candles, up, np.sign(up - 0.5) * 0.01), candles, confidence_threshold=threshold
        ).n_trades
        for up in (0.59, 0.61, 0.41, 0.39)
        for threshold in (0.6,)
    }
    assert traded == {(0.59, 0.6): 0, (0.61, 0.6): 1, (0.41, 0.6): 0, (0.39, 0.6): 1}


def test_no_trade_leaves_what_does_not_exist_empty_with_a_reason():
    found = backtest_multi_scale_strategy(said(klines(4), 0.5), klines(4))
    assert (found.n_trades, found.total_return) == (0, 0.0)
    assert found.sharpe_ratio is found.win_rate is found.profit_factor is None
    assert found.details.reasons["win_rate"]


def test_sizes_are_three_different_ones():
    candles = klines(4)
    held = {
        sizing: backtest_multi_scale_strategy(
            said(candles, 0.7, 0.0001), candles, position_sizing=sizing
        ).details.exposure
        for sizing in ("fixed", "confidence", "kelly")
    }
    assert held["confidence"] == pytest.approx(0.4, abs=0.02)
    assert held["fixed"] > 0.95
    assert 0 < held["kelly"] < 0.95
    assert len({round(value, 2) for value in held.values()}) == 3


def test_forecasts_at_some_closes_and_of_one_horizon():
    candles = klines(4)
    at = candles.index[1_500::15]
    few = {name: values[: len(at)] for name, values in said(candles).items()}
    one = {**few, "direction": few["direction"][:, 1]}
    first = backtest_multi_scale_strategy(few, candles, at=at)
    second = backtest_multi_scale_strategy(one, candles, at=at)
    pd.testing.assert_series_equal(first.equity_curve, second.equity_curve)
    assert first.equity_curve.index[0] == at[0]
    other = backtest_multi_scale_strategy(few, as_the_chapter_has_them(candles), at=at)
    pd.testing.assert_series_equal(first.equity_curve, other.equity_curve)


def test_a_bar_is_held_for_its_horizon():
    candles = klines(4)
    at = candles.index[2_000:2_001].append(candles.index[-1:])
    two = {name: values[:2].copy() for name, values in said(candles).items()}
    two["direction"][1] = 0.5
    for term, minutes in (("short_term", 5), ("medium_term", 60), ("long_term", 1_440)):
        found = backtest_multi_scale_strategy(two, candles, at=at, horizon=term)
        [trade] = found.details.trades.to_dicts()
        assert (trade["exit_time"] - trade["entry_time"]).total_seconds() == 60 * minutes


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        ({"initial_capital": 0}, ConfigError, "initial_capital: must be greater than 0, got 0"),
        ({"transaction_cost": -0.001}, ConfigError, "transaction_cost: must be greater than or equal to 0"),
        ({"position_sizing": "martingale"}, ConfigError, "position_sizing: must be 'fixed'"),
        ({"confidence_threshold": 0.3}, ConfigError, "confidence_threshold: must be greater than or equal"),
        ({"horizon": "1h"}, ConfigError, "horizon must be one of"),
    ],
)
def test_settings_that_cannot_be_are_refused(words, error, says):
    with pytest.raises(error, match=says):
        backtest_multi_scale_strategy(said(klines(4)), klines(4), **words)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: {"direction": p["direction"]}, "missing \\['short_term', 'medium_term', 'long_term'\\]"),
        (lambda p: {name: values[:10] for name, values in p.items()}, "one per close, 5760 of them, got 10"),
        (lambda p: {**p, "direction": 3 * p["direction"]}, "probabilities between 0 and 1"),
        (lambda p: {**p, "medium_term": p["medium_term"] * np.nan}, "must be finite"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(change, says):
    with pytest.raises(DataError, match=says):
        backtest_multi_scale_strategy(change(said(klines(4))), klines(4))


def test_less_than_a_day_of_prices_is_refused():
    candles = klines(4).iloc[:600]
    with pytest.raises(DataError, match="a day of bars before it, found none in 600"):
        backtest_multi_scale_strategy(said(candles), candles)
