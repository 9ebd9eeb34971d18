"""What must hold for any orders on any bars: accounting, causality, costs, foresight."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyscale.backtesting.engine import buy_and_hold, run_backtest
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from tests.backtesting.market import HOUR, make_bars, make_positions, make_settings

BPS = st.floats(0, 50)


@st.composite
def market_and_targets(draw, largest=3.0, move=0.05):
    n = draw(st.integers(2, 25))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    path = 100 * np.exp(np.cumsum(rng.normal(0, move, (n, 4)).ravel())).reshape(n, 4)
    bars = make_bars([(p[0], p.max(), p.min(), p[-1]) for p in path.tolist() for p in [np.array(p)]])
    step = st.sampled_from([-1.0, -0.5, 0.0, 0.3, 1.0])
    targets = draw(st.lists(step, min_size=n, max_size=n))
    return bars, [largest * target for target in targets]


@given(market_and_targets(), BPS, BPS, st.floats(0, 0.01))
@settings(max_examples=150, deadline=None)
def test_accounts_add_up_at_every_bar(market, fee_bps, slippage_bps, rate):
    bars, targets = market
    account = make_settings(
        fee_bps=fee_bps, slippage_bps=slippage_bps, assumed_funding_8h=rate, max_leverage=3.0
    )

    result = run_backtest(bars, HOUR, make_positions(bars, targets), account, None)

    ledger = result.ledger
    holdings = result.holdings
    valued = (ledger["cash"] + holdings["units"] * holdings["price"]).to_numpy()
    np.testing.assert_allclose(valued, ledger["equity"].to_numpy(), rtol=1e-9, atol=1e-9)
    assert result.trades["net_pnl"].sum() == pytest.approx(ledger["equity"][-1] - 1000, rel=1e-9, abs=1e-8)
    assert result.trades["costs"].sum() == pytest.approx(result.costs.total, rel=1e-9, abs=1e-8)
    assert ledger["equity"].min() >= 0
    assert result.trades["exit_time"].null_count() == int(holdings["units"][-1] != 0)


@given(market_and_targets(largest=3.0, move=0.01), BPS, BPS)
@settings(max_examples=100, deadline=None)
def test_full_leverage_is_met_after_costs_and_never_passed(market, fee_bps, slippage_bps):
    bars, targets = market
    account = make_settings(fee_bps=fee_bps, slippage_bps=slippage_bps, max_leverage=3.0)

    result = run_backtest(bars, HOUR, make_positions(bars, targets), account, None)

    columns = (result.holdings["units"], result.ledger["cash"], bars["open"])
    units, cash, opens = (column.to_numpy() for column in columns)
    for t in range(1, bars.height):
        if targets[t - 1] != ([0.0, *targets])[t - 1] and units[t] != 0:
            leverage = abs(units[t]) * opens[t] / (cash[t] + units[t] * opens[t])
            assert leverage <= 3 * (1 + 1e-9)
            assert abs(targets[t - 1]) < 3 or leverage == pytest.approx(3, rel=1e-9)


@given(market_and_targets(largest=0.9, move=0.01), BPS, BPS, st.floats(0, 0.01))
@settings(max_examples=100, deadline=None)
def test_equity_is_what_the_coins_earned_less_costs(market, fee_bps, slippage_bps, rate):
    bars, targets = market
    account = make_settings(fee_bps=fee_bps, slippage_bps=slippage_bps, assumed_funding_8h=rate)

    result = run_backtest(bars, HOUR, make_positions(bars, targets), account, None)
    ledger = result.ledger

    columns = (result.holdings["units"], bars["open"], bars["close"])
    units, opens, closes = (column.to_numpy() for column in columns)
    held_before, close_before = np.append(0, units[:-1]), np.append(opens[0], closes[:-1])
    earned = held_before * (opens - close_before) + units * (closes - opens)
    costs = (ledger["fee"] + ledger["slippage"] + ledger["funding"]).to_numpy()
    np.testing.assert_allclose(ledger["equity"].to_numpy(), 1000 + np.cumsum(earned - costs), rtol=1e-9)


@given(market_and_targets(largest=0.9, move=0.01), BPS, BPS, st.floats(0, 0.01))
@settings(max_examples=100, deadline=None)
def test_costs_never_help(market, fee_bps, slippage_bps, rate):
    bars, targets = market
    positions = make_positions(bars, targets)
    costly = make_settings(fee_bps=fee_bps, slippage_bps=slippage_bps, assumed_funding_8h=rate)

    with_costs = run_backtest(bars, HOUR, positions, costly, None).ledger["equity"]
    without = run_backtest(bars, HOUR, positions, make_settings(), None).ledger["equity"]

    assert (with_costs <= without * (1 + 1e-12)).all()


def test_sharpe_ratio_sees_the_costs():
    bars = simulate_bars(SimulationSettings(kind="random_walk", days=5))
    positions = make_positions(bars, np.tile([1.0, 0.0], bars.height // 2).tolist())

    free = run_backtest(bars, Timeframe(5), positions, make_settings(), None)
    paid = run_backtest(bars, Timeframe(5), positions, make_settings(fee_bps=5), None)

    assert paid.sharpe_ratio < free.sharpe_ratio - 1


def test_future_bars_and_positions_do_not_move_the_past():
    bars = simulate_bars(SimulationSettings(days=2, timeframe=HOUR))
    targets = np.random.default_rng(3).choice([-1.0, 0.0, 0.5, 1.0], bars.height)
    account = make_settings(fee_bps=5, slippage_bps=2, assumed_funding_8h=1e-4)
    whole = run_backtest(bars, HOUR, make_positions(bars, targets), account, None).ledger
    for cut in (2, 7, 8, 9, 25, 40):
        wrecked = bars.with_columns(
            pl.when(pl.int_range(pl.len()) < cut).then(c).otherwise(pl.col(c) * 7).alias(c)
            for c in ("open", "high", "low", "close")
        )
        other = np.append(targets[:cut], -targets[cut:])

        prefix = run_backtest(bars[:cut], HOUR, make_positions(bars, targets[:cut]), account, None).ledger
        poisoned = run_backtest(wrecked, HOUR, make_positions(bars, other), account, None).ledger

        assert prefix.equals(whole[:cut])
        assert poisoned[:cut].equals(whole[:cut])


def test_order_is_filled_at_the_next_open_and_not_at_the_price_it_saw():
    bars = make_bars([(100, 100, 100, 100), (150, 200, 150, 200)])

    result = buy_and_hold(bars, HOUR, make_settings(), None)

    assert result.trades["entry_price"].to_list() == [150]
    assert result.ledger["equity"][1] == pytest.approx(1000 / 150 * 200)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_foresight_earns_and_a_bar_too_late_does_not(seed):
    market = SimulationSettings(kind="random_walk", days=30, timeframe=Timeframe(15), seed=seed)
    bars = simulate_bars(market)
    moves = np.sign(np.log(bars["close"] / bars["open"]).to_numpy())
    foreseen, late = np.append(moves[1:], 0), moves

    sharp = run_backtest(bars, Timeframe(15), make_positions(bars, foreseen), make_settings(), None)
    dull = run_backtest(bars, Timeframe(15), make_positions(bars, late), make_settings(), None)

    equity = dull.ledger["equity"].to_numpy()
    r = np.diff(equity) / equity[:-1]
    assert sharp.total_return > 1
    assert abs(r.mean()) < 2.6 * r.std() / np.sqrt(len(r))
