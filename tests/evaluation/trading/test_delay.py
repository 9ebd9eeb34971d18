import numpy as np
import polars as pl
import pytest

from polyscale.evaluation.trading.delay import delayed
from polyscale.market.position import Positions
from tests.evaluation.trading.market import coin_flips, costs, open_market, positions_over, times_of, walk

FREE = costs(fee_bps=0.0, slippage_bps=0.0, assumed_funding_8h=0.0)


@pytest.mark.parametrize("num_bars", [1, 2, 5])
def test_decisions_come_later_and_the_last_ones_never(num_bars):
    bars = walk(1)
    targets = coin_flips(bars.height, np.random.default_rng(0))
    exchange = open_market(FREE, A=bars)

    got = delayed({"A": positions_over(bars, targets)}, exchange.grid, num_bars)["A"]

    assert np.array_equal(got.close_time, times_of(bars)[num_bars:])
    assert np.array_equal(got.target, targets[:-num_bars])
    assert got.stop is None


def test_no_delay_changes_nothing():
    bars = walk(1)
    positions = {"A": positions_over(bars, np.ones(bars.height))}
    assert delayed(positions, open_market(FREE, A=bars).grid, 0) == positions


def test_a_delay_is_in_the_closes_of_the_symbol_itself():
    bars = {"A": walk(1, seed=1), "B": walk(1, seed=2).filter(pl.int_range(pl.len()) % 5 != 3)}
    grid = open_market(FREE, **bars).grid
    sparse = Positions(times_of(bars["B"])[[0, 2, 7, -1]], np.array([1.0, 0.0, -1.0, 1.0]))

    got = delayed({"B": sparse}, grid, 1)["B"]

    assert np.array_equal(got.close_time, times_of(bars["B"])[[1, 3, 8]])
    assert got.target.tolist() == [1.0, 0.0, -1.0]


def test_an_order_that_comes_too_late_for_its_levels_is_refused_while_it_stands():
    bars = walk(1)[:6].with_columns(close=pl.Series([100.0, 95.0, 100.0, 105.0, 100.0, 100.0]))
    bars = bars.with_columns(high=pl.lit(110.0), low=pl.lit(90.0), open=pl.lit(100.0))
    targets = [1.0, 1.0, -1.0, 0.0, 1.0, 1.0]
    stop = np.array([96.0, 96.0, 104.0, np.nan, 90.0, 90.0])
    take = np.array([np.nan, np.nan, np.nan, np.nan, 101.0, np.nan])
    positions = {"A": positions_over(bars, targets, stop=stop, take_profit=take)}
    exchange = open_market(FREE, A=bars)

    late = delayed(positions, exchange.grid, 1)

    assert late["A"].target.tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]
    np.testing.assert_array_equal(late["A"].stop, stop[:-1])
    exchange.run(late, FREE)


def test_levels_of_any_strategy_are_taken_by_the_backtest_after_any_delay():
    bars = walk(3, kind="realistic")
    close, targets = bars["close"].to_numpy(), coin_flips(bars.height, np.random.default_rng(4), 4)
    away = np.where(targets == 0.0, np.nan, 0.002 * np.sign(targets))
    levels = {"stop": close * (1 - away), "take_profit": close * (1 + away), "limit": close * (1 - away / 2)}
    for kept in (["stop"], ["take_profit"], ["stop", "take_profit"], list(levels)):
        positions = {"A": positions_over(bars, targets, **{name: levels[name] for name in kept})}
        exchange = open_market(FREE, A=bars)
        for num_bars in (1, 2, 10):
            assert exchange.run(delayed(positions, exchange.grid, num_bars), FREE).n_trades > 10
