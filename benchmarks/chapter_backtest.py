"""The loop of a textbook: candles in a pandas frame, one row after the other, in plain Python."""

from __future__ import annotations

import pandas as pd


def chapter_loop(
    prices: pd.DataFrame,
    targets: pd.Series,
    initial_capital: float,
    transaction_cost: float,
    slippage: float,
    stop_loss: float,
    take_profit: float,
) -> list[float]:
    """Equity after each bar; the target decided at a close is filled at the next open."""
    cash, units, stop, take = initial_capital, 0.0, None, None
    decided, before, equity_curve = 0.0, 0.0, []
    for time, bar in prices.iterrows():
        cash -= units * bar["open"] * bar["funding"]
        if decided != before:
            price = bar["open"]
            wanted = decided * (cash + units * price) / price
            change = wanted - units
            filled = price * (1 + slippage if change > 0 else 1 - slippage)
            cash -= change * filled + abs(change) * filled * transaction_cost
            units, before = wanted, decided
            side = 1 if decided > 0 else -1
            stop, take = bar["entry"] * (1 - side * stop_loss), bar["entry"] * (1 + side * take_profit)
        if units > 0 and (bar["low"] <= stop or bar["high"] > take):
            price = stop * (1 - slippage) if bar["low"] <= stop else take
            cash += units * price * (1 - transaction_cost)
            units = 0.0
        elif units < 0 and (bar["high"] >= stop or bar["low"] < take):
            price = stop * (1 + slippage) if bar["high"] >= stop else take
            cash += units * price * (1 + transaction_cost)
            units = 0.0
        decided = targets[time]
        equity_curve.append(cash + units * bar["close"])
    return equity_curve
