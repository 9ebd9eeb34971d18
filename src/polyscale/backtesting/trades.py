"""From fills to trades: one trade is one stay on one side, from flat (or a turn) to flat (or a turn).

In: the log of fills and the funding paid per bar. Out: one row per trade. Adding to a position and reducing
it happen inside its trade; a turn closes one trade and opens the next, and shares its costs by coins.

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

from polyscale.backtesting.loop import FILL_AT_OPEN, FILL_BAR, FILL_COST, FILL_PRICE, FILL_UNITS
from polyscale.market.bars import TIME

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
TRADE_SCHEMA: Final = pl.Schema(
    {
        "entry_time": TIME,  # open of the bar that filled it
        "exit_time": TIME,  # the same; the bar's close if liquidated inside it; null while open
        "side": pl.String(),  # long or short
        "units": pl.Float64(),  # coins entered with in total
        "entry_price": pl.Float64(),
        "exit_price": pl.Float64(),
        "gross_pnl": pl.Float64(),
        "costs": pl.Float64(),
        "net_pnl": pl.Float64(),
    }
)
_ENTRY, _EXIT, _SIDE, _UNITS, _ENTRY_VALUE, _OUT_UNITS, _EXIT_VALUE, _COSTS = range(8)
_NUM_COLUMNS: Final = 8


def make_trades(
    fills: Floats, funding: Floats, open_ms: Times, close_ms: Times, last_close: float
) -> pl.DataFrame:
    """One row per trade in `TRADE_SCHEMA`, in the order of entry.

    Parameters
    ----------
    fills
        [F, 5] from `polyscale.backtesting.loop.replay`.
    funding
        [T] money paid at each bar's open.
    open_ms, close_ms
        [T] of each bar.
    last_close
        Price at which an open trade is valued.
    """
    rows = _round_trips(fills, np.cumsum(funding), last_close)
    bar = fills[:, FILL_BAR].astype(np.int64)
    fill_ms = np.where(fills[:, FILL_AT_OPEN] > 0, open_ms[bar], close_ms[bar])
    entry, exit_ = rows[:, _ENTRY].astype(np.int64), rows[:, _EXIT].astype(np.int64)
    is_open = pl.Series(exit_ < 0)
    units, entry_price = rows[:, _UNITS], rows[:, _ENTRY_VALUE] / rows[:, _UNITS]
    gross = rows[:, _SIDE] * (rows[:, _EXIT_VALUE] - rows[:, _ENTRY_VALUE])
    columns = {
        "entry_time": _times(fill_ms[entry]),
        "exit_time": _times(fill_ms[exit_]).set(is_open, None),
        "side": np.where(rows[:, _SIDE] > 0, "long", "short").astype(object),
        "units": units,
        "entry_price": entry_price,
        "exit_price": rows[:, _EXIT_VALUE] / rows[:, _OUT_UNITS],
        "gross_pnl": gross,
        "costs": rows[:, _COSTS],
        "net_pnl": gross - rows[:, _COSTS],
    }
    return pl.DataFrame(columns, schema=TRADE_SCHEMA)


def _times(values: Times) -> pl.Series:
    return pl.Series(values, dtype=pl.Int64).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")


@numba.njit(cache=True)
def _round_trips(fills: Floats, funding_so_far: Floats, last_close: float) -> Floats:
    """[K, 8]: fills that open and close it (-1: still open), side, coins and value in and out, costs."""
    trades = np.zeros((len(fills) + 1, _NUM_COLUMNS))
    k, units, settled = 0, 0.0, 0.0
    for f in range(len(fills)):
        after, price = fills[f, FILL_UNITS], fills[f, FILL_PRICE]
        funding = funding_so_far[int(fills[f, FILL_BAR])]
        cost_per_unit = fills[f, FILL_COST] / abs(after - units)
        if units != 0.0:
            trades[k, _COSTS] += funding - settled
        settled = funding
        kept = after if after * units > 0.0 else 0.0  # of the trade that is open; 0 closes it
        if units != 0.0 and abs(kept) < abs(units):
            out = abs(units) - abs(kept)
            trades[k, _OUT_UNITS] += out
            trades[k, _EXIT_VALUE] += out * price
            trades[k, _COSTS] += out * cost_per_unit
            if kept == 0.0:
                trades[k, _EXIT] = f
                k += 1
            units = kept
        if abs(after) > abs(units):
            if units == 0.0:
                trades[k, _ENTRY], trades[k, _SIDE] = f, np.sign(after)
            more = abs(after) - abs(units)
            trades[k, _UNITS] += more
            trades[k, _ENTRY_VALUE] += more * price
            trades[k, _COSTS] += more * cost_per_unit
        units = after
    if units != 0.0:
        trades[k, _EXIT] = -1
        trades[k, _OUT_UNITS] += abs(units)
        trades[k, _EXIT_VALUE] += abs(units) * last_close
        trades[k, _COSTS] += funding_so_far[-1] - settled
        k += 1
    return trades[:k]
