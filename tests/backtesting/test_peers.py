"""The same orders through vectorbt and backtesting.py, where their rules and ours coincide: equal equity."""

import warnings

import numpy as np
import polars as pl
import pytest

from polyscale.backtesting.engine import Asset, run_backtest, run_portfolio
from polyscale.market.order_rules import OrderRules
from polyscale.market.position import Positions
from polyscale.market.simulate import SimulationSettings, simulate_bars
from tests.backtesting.market import HOUR, make_positions, make_settings

COSTS = {"fee_bps": 5.5, "slippage_bps": 1.0}


def market(seed, days=60):
    return simulate_bars(SimulationSettings(kind="random_walk", days=days, timeframe=HOUR, seed=seed))


def random_targets(seed, num, choices):
    """A new target every few bars, none at the first close."""
    rng = np.random.default_rng(seed)
    targets = np.zeros(num)
    for row in np.flatnonzero(rng.random(num) < 0.15):
        targets[max(row, 1) :] = rng.choice(choices)
    return targets


def columns_of(bars):
    import pandas as pd

    index = pd.to_datetime(bars["close_time"].dt.replace_time_zone(None).to_numpy())
    return {
        name: pd.Series(bars[name].to_numpy().copy(), index=index)
        for name in ("open", "high", "low", "close")
    }


def vectorbt_equity(frames, targets, **costs):
    """Target percent at the open after each change of the target, all symbols on one account."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas as pd
        import vectorbt

        sizes = {}
        for symbol, target in targets.items():
            ordered = np.diff(target, prepend=0.0) != 0
            size = np.where(ordered, target, np.nan)
            sizes[symbol] = np.append(np.nan, size[:-1])
        series = {symbol: columns_of(bars) for symbol, bars in frames.items()}
        closes, opens = (
            pd.DataFrame({symbol: columns[name] for symbol, columns in series.items()})
            for name in ("close", "open")
        )
        held = vectorbt.Portfolio.from_orders(
            closes,
            pd.DataFrame(sizes, index=closes.index),
            size_type="targetpercent",
            price=opens,
            fees=costs.get("fee_bps", 0) / 1e4,
            slippage=costs.get("slippage_bps", 0) / 1e4,
            init_cash=1000.0,
            cash_sharing=True,
            group_by=True,
            call_seq="auto",
            freq="1h",
        )
        return held.value().to_numpy()


@pytest.mark.parametrize("choices", [[0.0, 0.3, 0.6, 0.95], [-0.9, -0.4, 0.0, 0.5, 0.9]])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_target_percent_equals_vectorbt(seed, choices):
    bars = market(seed)
    targets = random_targets(seed, bars.height, choices)

    ours = run_backtest(bars, HOUR, make_positions(bars, targets), make_settings(**COSTS), None)

    assert ours.n_trades > 20
    np.testing.assert_allclose(ours.equity, vectorbt_equity({"x": bars}, {"x": targets}, **COSTS), rtol=1e-9)


@pytest.mark.parametrize("seed", [4, 5])
def test_several_symbols_on_one_account_equal_vectorbt(seed):
    frames = {name: market(10 * seed + i) for i, name in enumerate(("AAA", "BBB", "CCC"))}
    targets = {
        name: random_targets(20 * seed + i, bars.height, [-0.3, 0.0, 0.15, 0.3])
        for i, (name, bars) in enumerate(frames.items())
    }
    assets = {name: Asset(bars) for name, bars in frames.items()}
    positions = {name: make_positions(frames[name], target) for name, target in targets.items()}

    ours = run_portfolio(assets, HOUR, positions, make_settings())

    assert ours.n_trades > 60
    np.testing.assert_allclose(ours.equity, vectorbt_equity(frames, targets), rtol=1e-9)


def backtesting_equity(bars, orders, fee_bps):
    """Orders by row: coins to buy or sell with stop and take-profit, or None to close."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas as pd
        from backtesting import Backtest, Strategy

        frame = pd.DataFrame(columns_of(bars))
        frame.columns = [name.title() for name in frame.columns]
        frame["Row"] = np.arange(len(frame))

        class Replay(Strategy):
            def init(self):
                pass

            def next(self):
                row = int(self.data.Row[-1])
                if row not in orders:
                    return
                if orders[row] is None:
                    self.position.close()
                    return
                units, stop, take_profit = orders[row]
                trade = self.buy if units > 0 else self.sell
                trade(size=abs(units), sl=stop, tp=take_profit)

        test = Backtest(frame, Replay, cash=1_000_000, commission=fee_bps / 1e4, margin=1.0)
        return test.run()._equity_curve["Equity"].to_numpy()


@pytest.mark.parametrize("seed", [6, 7, 8])
@pytest.mark.filterwarnings("ignore")
def test_stops_and_take_profits_equal_backtesting_py(seed):
    bars = market(seed, days=90)
    close = bars["close"].to_numpy()
    rng = np.random.default_rng(seed)
    targets, stop, take = np.zeros(bars.height), *np.full((2, bars.height), np.nan)
    for row in range(3, bars.height - 14, 13):
        side, far = rng.choice([-1.0, 1.0]), 0.02 * rng.uniform(0.5, 2)
        targets[row : row + 8] = 0.5 * side
        stop[row : row + 8] = close[row] * (1 - side * far)
        take[row : row + 8] = close[row] * (1 + side * far * 1.5)
    times = bars["close_time"].dt.replace_time_zone(None).to_numpy()
    positions = Positions(times, targets, stop=stop, take_profit=take)
    settings = make_settings(fee_bps=5.5, initial_capital=1_000_000)

    ours = run_backtest(bars, HOUR, positions, settings, None, OrderRules(lot_step=1.0))

    units = ours.holdings["units"].to_numpy()
    fills = ours.fills.with_columns(row=pl.Series(ours.events.fills[:, 0].astype(int)))
    entered = {row["row"]: row["units"] for row in fills.iter_rows(named=True) if row["units"] != 0}
    orders = {row - 1: (int(size), stop[row - 1], take[row - 1]) for row, size in entered.items()}
    closings = np.flatnonzero((targets[1:] == 0) & (targets[:-1] != 0)) + 1
    orders |= {int(row): None for row in closings}
    assert units.any()
    by = ours.trades["exit_by"].value_counts().sort("exit_by")
    assert by["exit_by"].to_list() == ["order", "stop", "take_profit"]
    assert by["count"].min() > 10
    np.testing.assert_allclose(ours.equity, backtesting_equity(bars, orders, 5.5), rtol=1e-9)
