"""The backtest against vectorbt, backtesting.py and a textbook's loop: one symbol, all costs, stops.

500,000 five-minute bars, a decision every four hours; long, short or flat with a stop and a take-profit. All
run in turn in one process on the same bars and decisions. Timed is what a user waits for after the candles
are loaded: from decisions to the equity at every bar and the fills. Ours charges funding at every stamp,
which vectorbt and backtesting.py cannot. The grid is 1,000 sets of strategy settings over 100,000 bars, from
the forecast to returns by day, on two threads.
"""

from __future__ import annotations

import itertools
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
from polyscale.evaluation.trading.sweep import Sweep, sweep
from polyscale.market.forecast import Forecast
from polyscale.market.position import Positions
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.strategy.decide import decide
from polyscale.strategy.settings import StrategySettings

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
    """Strategy settings over one forecast: from `decide` to returns by day, as a search does it."""
    bars = simulate_bars(SimulationSettings(days=GRID_BARS // 288 + 1, timeframe=FIVE, seed=2))[:GRID_BARS]
    exchange = Exchange.open({SYMBOL: Asset(bars)}, FIVE, COSTS)
    forecast, sets = made_up_forecast(bars), grid_of_settings()

    def run() -> Sweep[StrategySettings]:
        return sweep(
            exchange,
            sets,
            lambda rules: {SYMBOL: decide(forecast, rules, COSTS.round_trip_cost, bars)},
            COSTS,
            num_threads=2,
        )

    sweep(exchange, sets[:2], lambda r: {SYMBOL: decide(forecast, r, 0.001, bars)}, COSTS)  # compiled
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        found = run()
        times.append(time.perf_counter() - begin)
    assert len(found.sets) == GRID_SETS
    assert np.count_nonzero(found.num_trades_n) > GRID_SETS // 2
    return statistics.median(times)


def grid_of_settings() -> list[StrategySettings]:
    grid = itertools.product(
        ("1h", "4h"),
        np.linspace(0.5, 0.59, 10),
        (0.0, 0.5, 1.0, 1.5, 2.0),
        ("fixed", "volatility"),
        (0.02, 0.05, 0.1, 0.2, 0.3),
    )
    names = ("horizon", "confidence", "edge_over_cost", "sizing", "rebalance")
    return [StrategySettings(**dict(zip(names, each, strict=True))) for each in grid]


def made_up_forecast(bars) -> Forecast:
    """At every close, moving slowly, as forecasts of overlapping horizons do."""
    rng, n = np.random.default_rng(3), bars.height
    horizons = tuple(Timeframe.parse(name) for name in ("1h", "4h", "1d"))
    volatility = np.tile([0.005, 0.01, 0.025], (n, 1)) * np.exp(slow(rng, n, 288, 3, 0.3))
    prob_up = 0.5 + 0.1 * np.tanh(slow(rng, n, 48, 3, 0.6))
    expected = (prob_up - 0.5) * volatility * 2
    return Forecast(
        bars["close_time"].dt.replace_time_zone(None).to_numpy().astype("datetime64[ms]"),
        horizons,
        (0.5,),
        ("5m",),
        expected[:, :, None].copy(),
        prob_up,
        volatility,
        expected,
        volatility.copy(),
        np.ones((n, 1)),
        np.ones((n, 1, 1)),
    )


def slow(rng: np.random.Generator, num: int, span: int, width: int, deviation: float):
    """Moving averages of noise."""
    sums = np.cumsum(rng.normal(0, 1, (num + span, width)), axis=0)
    return deviation * (sums[span:] - sums[:-span]) / np.sqrt(span)


if __name__ == "__main__":
    main()
