"""A sweep against as many runs of the backtest, bit by bit."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from polyscale.backtesting import measures
from polyscale.evaluation.trading.sweep import sweep
from polyscale.market.errors import ConfigError, DataError
from polyscale.market.timeframe import Timeframe
from tests.evaluation.trading.market import coin_flips, costs, open_market, positions_over, times_of, walk

DAY = Timeframe(1_440)


def rule(bars, seed):
    """Positions with levels on two symbols, from a seed; seed 0 never trades."""
    positions = {}
    for number, (name, frame) in enumerate(bars.items()):
        targets = coin_flips(frame.height, np.random.default_rng([seed, number]), 20, (-0.6, 0.0, 0.4))
        close = frame["close"].to_numpy()
        targets *= seed != 0
        stop = np.where(targets == 0, np.nan, close * (1 - 0.01 * np.sign(targets)))
        positions[name] = positions_over(frame, targets, stop=stop)
    return positions


def two_markets():
    one, other = walk(12, seed=1, kind="realistic"), walk(12, seed=2, kind="realistic")
    return {"A": one.filter(pl.int_range(pl.len()) % 97 != 5), "B": other[200:]}


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("period", [DAY, Timeframe(240), Timeframe(5)])
def test_every_set_is_exactly_a_run_of_its_own(period, num_threads):
    bars, account = two_markets(), costs(max_leverage=1.5)
    exchange = open_market(account, **bars)

    found = sweep(exchange, range(6), lambda seed: rule(bars, seed), account, period, num_threads)

    for seed in range(6):
        result = exchange.run(rule(bars, seed), account)
        curve = result.equity_curve.with_columns(
            of=(pl.col("close_time") - pl.duration(milliseconds=1)).dt.truncate(f"{period.minutes}m")
        )
        last = curve.group_by("of", maintain_order=True).last()
        equity = np.append(account.initial_capital, last["equity"].to_numpy())
        wanted = measures.returns(equity)
        assert np.array_equal(found.returns_dn[:, seed], wanted)
        assert found.total_return_n[seed] == result.total_return
        assert found.num_trades_n[seed] == result.n_trades
        assert np.array_equal(found.close_ms_d, last["close_time"].dt.epoch("ms").to_numpy())
        if wanted.any():
            a_year = found.sharpe_n[seed] * np.sqrt(measures.periods_per_year(period))
            assert a_year == pytest.approx(measures.sharpe_ratio(equity, period), rel=1e-12)
    assert found.num_trades_n[0] == found.sharpe_n[0] == 0
    assert found.num_trades_n[1:].min() > 20


def test_an_account_that_is_liquidated_earns_nothing_more():
    bars = {
        "A": walk(4).with_columns(pl.col("open", "high", "low", "close") * np.exp(-np.arange(1152) / 400))
    }
    account = costs(max_leverage=5.0)
    exchange = open_market(account, **bars)
    whole = {"A": positions_over(bars["A"], np.full(1152, 5.0))}

    found = sweep(exchange, ["all in"], lambda _: whole, account)

    result = exchange.run(whole, account)
    assert result.liquidated
    assert found.total_return_n[0] == result.total_return
    assert np.isfinite(found.returns_dn).all()


def test_a_day_without_bars_is_left_out_and_midnight_ends_a_day():
    bars = walk(4)
    times = bars["close_time"]
    hole = bars.filter((times <= times[287]) | (times > times[575]))
    account = costs()

    found = sweep(
        open_market(account, A=hole),
        [1.0, -1.0],
        lambda x: {"A": positions_over(hole, np.full(hole.height, x))},
        account,
    )

    closes = found.close_ms_d.astype("datetime64[ms]")
    assert closes.tolist() == [
        times_of(bars)[0].item() - timedelta(minutes=5) + timedelta(days=d) for d in (1, 3, 4)
    ]


def test_what_makes_no_sweep_is_refused():
    bars, account = walk(1), costs()
    exchange = open_market(account, A=bars)
    flat = {"A": positions_over(bars, np.zeros(bars.height))}
    with pytest.raises(DataError, match="got 1 and 1 of 1d"):
        sweep(exchange, [0], lambda _: flat, account)
    with pytest.raises(DataError, match="got 0 and 24 of 1h"):
        sweep(exchange, [], lambda _: flat, account, Timeframe(60))
    with pytest.raises(ConfigError, match="whole multiple"):
        sweep(exchange, [0], lambda _: flat, account, Timeframe(7))
