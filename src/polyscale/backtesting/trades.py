"""From fills to trades: one trade is one stay on one side of one symbol, from flat (or a turn) to flat.

In: the fills and the payments of funding. Out: one row per trade. Adding to a position and reducing it happen
inside its trade; a turn closes one trade and opens the next, and shares its costs by coins.

Prices are averages before slippage: ``gross_pnl = (exit_price - entry_price) * units`` for a long, and its
negative for a short. Fee, slippage and funding are the trade's ``costs``, and ``net_pnl`` is what is left. A
trade still open at the last bar stands at the end with ``exit_time`` null, valued at the last close. The sum
of ``net_pnl`` is the change of equity.
"""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyscale.backtesting.book import (
    AT_OPEN,
    BAR,
    FEE,
    KIND,
    KINDS,
    PAID,
    PRICE,
    SLIPPAGE,
    SYMBOL,
    UNITS,
)
from polyscale.backtesting.prices import Grid
from polyscale.market.bars import TIME

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
TRADE_SCHEMA: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "entry_time": TIME,  # open of the bar that filled it, or its close if filled inside it
        "exit_time": TIME,  # the same; null while open
        "side": pl.String(),  # long or short
        "units": pl.Float64(),  # coins entered with in total
        "entry_price": pl.Float64(),
        "exit_price": pl.Float64(),
        "gross_pnl": pl.Float64(),
        "costs": pl.Float64(),
        "net_pnl": pl.Float64(),
        "exit_by": pl.String(),  # order, limit, stop, take_profit, liquidation; null while open
    }
)
_NUM_COLUMNS: Final = 9
_ENTRY, _EXIT, _SIDE, _UNITS, _ENTRY_VALUE, _OUT_UNITS, _EXIT_VALUE, _COSTS, _OF = range(_NUM_COLUMNS)


def make_trades(fills: Floats, payments: Floats, grid: Grid) -> pl.DataFrame:
    """One row per trade in `TRADE_SCHEMA`, in the order of entry.

    Parameters
    ----------
    fills, payments
        [F, 8] and [P, 3] from `polyscale.backtesting.loop.replay`.
    grid
        Whose last closes value what is still open.
    """
    rows = _round_trips(fills, payments, np.ascontiguousarray(grid.prices.close[:, -1]))
    bar = fills[:, BAR].astype(np.int64)
    fill_ms = grid.close_ms[bar] - np.where(fills[:, AT_OPEN] > 0, grid.timeframe.ms, 0)
    entry, exit_ = rows[:, _ENTRY].astype(np.int64), rows[:, _EXIT].astype(np.int64)
    is_open = pl.Series(exit_ < 0)
    gross = rows[:, _SIDE] * (rows[:, _EXIT_VALUE] - rows[:, _ENTRY_VALUE])
    columns = {
        "symbol": np.array(grid.symbols, dtype=object)[rows[:, _OF].astype(np.int64)],
        "entry_time": _times(fill_ms[entry]),
        "exit_time": _times(fill_ms[exit_]).set(is_open, None),
        "side": np.where(rows[:, _SIDE] > 0, "long", "short").astype(object),
        "units": rows[:, _UNITS],
        "entry_price": rows[:, _ENTRY_VALUE] / rows[:, _UNITS],
        "exit_price": rows[:, _EXIT_VALUE] / rows[:, _OUT_UNITS],
        "gross_pnl": gross,
        "costs": rows[:, _COSTS],
        "net_pnl": gross - rows[:, _COSTS],
        "exit_by": kinds_of(fills[exit_, KIND]).set(is_open, None),
    }
    return pl.DataFrame(columns, schema=TRADE_SCHEMA)


def kinds_of(codes: Floats) -> pl.Series:
    """The words of `KINDS` for a column of fills."""
    return pl.Series(np.array(KINDS, dtype=object)[codes.astype(np.int64)], dtype=pl.String)


def _times(values: Times) -> pl.Series:
    return pl.Series(values, dtype=pl.Int64).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")


@numba.njit(cache=True, nogil=True)
def _round_trips(fills: Floats, payments: Floats, last_close: Floats) -> Floats:
    """[K, 9]: fills that open and close it (-1: open), side, coins and value in and out, costs, symbol."""
    trades = np.zeros((len(fills) + 1, _NUM_COLUMNS))
    num_symbols = len(last_close)
    units, funding = np.zeros(num_symbols), np.zeros(num_symbols)  # funding since it was last shared out
    current = np.zeros(num_symbols, dtype=np.int64)
    num_trades, p = 0, 0
    for f in range(len(fills)):
        while p < len(payments) and payments[p, BAR] <= fills[f, BAR]:
            funding[int(payments[p, SYMBOL])] += payments[p, PAID]
            p += 1
        n = int(fills[f, SYMBOL])
        after, price, held = fills[f, UNITS], fills[f, PRICE], units[n]
        cost_per_unit = (fills[f, FEE] + fills[f, SLIPPAGE]) / abs(after - held)
        k = current[n]
        if held != 0.0:
            trades[k, _COSTS] += funding[n]
        funding[n] = 0.0
        kept = after if after * held > 0.0 else 0.0  # of the trade that is open; 0 closes it
        if held != 0.0 and abs(kept) < abs(held):
            out = abs(held) - abs(kept)
            trades[k, _OUT_UNITS] += out
            trades[k, _EXIT_VALUE] += out * price
            trades[k, _COSTS] += out * cost_per_unit
            if kept == 0.0:
                trades[k, _EXIT] = f
            held = kept
        if abs(after) > abs(held):
            if held == 0.0:
                k = current[n] = num_trades
                trades[k, _ENTRY], trades[k, _SIDE], trades[k, _OF] = f, np.sign(after), n
                num_trades += 1
            more = abs(after) - abs(held)
            trades[k, _UNITS] += more
            trades[k, _ENTRY_VALUE] += more * price
            trades[k, _COSTS] += more * cost_per_unit
        units[n] = after
    while p < len(payments):
        funding[int(payments[p, SYMBOL])] += payments[p, PAID]
        p += 1
    for n in range(num_symbols):
        if units[n] != 0.0:
            k = current[n]
            trades[k, _EXIT] = -1
            trades[k, _OUT_UNITS] += abs(units[n])
            trades[k, _EXIT_VALUE] += abs(units[n]) * last_close[n]
            trades[k, _COSTS] += funding[n]
    return trades[:num_trades]
