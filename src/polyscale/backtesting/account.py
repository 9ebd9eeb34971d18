"""The account at every close, as the sum of what changed it.

In: fills and payments of funding from `polyscale.backtesting.loop`, closes. Out: arrays by bar. Coins and
cash of a bar are those after its last event.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from polyscale.backtesting.book import BAR, FEE, PAID, PRICE, SLIPPAGE, SYMBOL, UNITS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_ROUNDING: Final = 1e-7  # of the capital: what sums of many fills may be off by


class Account(NamedTuple):
    """The account at the close of each bar, in quote coin."""

    cash: Floats  # [T], each
    position_value: Floats  # coins at their closes, shorts negative
    gross: Floats  # the same with all signs positive


class Flows(NamedTuple):
    """What went through the account in each bar, in quote coin."""

    fee: Floats  # [T], each
    slippage: Floats
    funding: Floats  # negative when received
    traded: Floats  # value bought and sold, before slippage


@numba.njit(cache=True, nogil=True)
def account_at_closes(fills: Floats, payments: Floats, close: Floats, capital: float) -> Account:
    """Walk the events; between them only the closes [N, T] move."""
    num_symbols, num_bars = close.shape
    cash, value, gross = np.empty(num_bars), np.zeros(num_bars), np.zeros(num_bars)
    units, at = np.zeros(num_symbols), np.zeros(2, dtype=np.int64)
    money, t = capital, 0
    while t < num_bars:
        money = _apply(fills, payments, units, at, money, _ROUNDING * capital, t)
        stop = _next_event(fills, payments, at, num_bars)
        cash[t:stop] = money
        for n in range(num_symbols):
            held = units[n]
            if held != 0.0:
                for row in range(t, stop):
                    value[row] += held * close[n, row]
                    gross[row] += abs(held) * close[n, row]
        t = stop
    return Account(cash, value, gross)


@numba.njit(cache=True, nogil=True)
def equity_at_closes(fills: Floats, payments: Floats, close: Floats, capital: float) -> Floats:
    """[T]: cash and coins at each close; the same sums as `account_at_closes`, and nothing else kept."""
    num_symbols, num_bars = close.shape
    equity, units, at = np.empty(num_bars), np.zeros(num_symbols), np.zeros(2, dtype=np.int64)
    money, t = capital, 0
    while t < num_bars:
        money = _apply(fills, payments, units, at, money, _ROUNDING * capital, t)
        stop = _next_event(fills, payments, at, num_bars)
        held = units[0]
        for row in range(t, stop):
            equity[row] = held * close[0, row]
        for n in range(1, num_symbols):
            held = units[n]
            if held != 0.0:
                for row in range(t, stop):
                    equity[row] += held * close[n, row]
        for row in range(t, stop):
            equity[row] += money
        t = stop
    return equity


@numba.njit(cache=True, nogil=True, inline="always")
def _apply(
    fills: Floats, payments: Floats, units: Floats, at: Ints, money: float, rounding: float, t: int
) -> float:
    """Cash after the events of a bar; ``at`` counts the fills and payments that are past."""
    while at[1] < len(payments) and payments[at[1], BAR] == t:
        money -= payments[at[1], PAID]
        at[1] += 1
    while at[0] < len(fills) and fills[at[0], BAR] == t:
        f = at[0]
        n = int(fills[f, SYMBOL])
        after, price = fills[f, UNITS], fills[f, PRICE]
        money -= (after - units[n]) * price + fills[f, FEE] + fills[f, SLIPPAGE]
        units[n] = after
        at[0] += 1
    if -rounding < money < 0.0 and not units.any():
        money = 0.0  # a fill costs at most what there is
    return money


@numba.njit(cache=True, nogil=True, inline="always")
def _next_event(fills: Floats, payments: Floats, at: Ints, num_bars: int) -> int:
    stop = int(fills[at[0], BAR]) if at[0] < len(fills) else num_bars
    return min(stop, int(payments[at[1], BAR])) if at[1] < len(payments) else stop


@numba.njit(cache=True, nogil=True)
def units_at_closes(fills: Floats, num_symbols: int, num_bars: int) -> Floats:
    """[N, T]: coins held at each close."""
    units, start = np.zeros((num_symbols, num_bars)), np.zeros(num_symbols, dtype=np.int64)
    held = np.zeros(num_symbols)
    for f in range(len(fills)):
        n, bar = int(fills[f, SYMBOL]), int(fills[f, BAR])
        units[n, start[n] : bar] = held[n]
        start[n], held[n] = bar, fills[f, UNITS]
    for n in range(num_symbols):
        units[n, start[n] :] = held[n]
    return units


def flows_by_bar(fills: Floats, payments: Floats, num_bars: int) -> Flows:
    """Sum costs and value traded by bar."""
    bar, paid = fills[:, BAR].astype(np.int64), payments[:, BAR].astype(np.int64)
    traded = np.abs(coins_traded(fills)) * fills[:, PRICE]

    def summed(bars: NDArray[np.int64], values: Floats) -> Floats:
        return np.bincount(bars, values, num_bars).astype(np.float64)

    return Flows(
        summed(bar, fills[:, FEE]),
        summed(bar, fills[:, SLIPPAGE]),
        summed(paid, payments[:, PAID]),
        summed(bar, traded),
    )


@numba.njit(cache=True, nogil=True)
def coins_traded(fills: Floats) -> Floats:
    """[F]: coins bought in each fill, negative when sold."""
    bought = np.empty(len(fills))
    before = np.zeros(1 if len(fills) == 0 else int(fills[:, SYMBOL].max()) + 1)
    for f in range(len(fills)):
        n = int(fills[f, SYMBOL])
        bought[f] = fills[f, UNITS] - before[n]
        before[n] = fills[f, UNITS]
    return bought
