"""The event loop over bars: funding, liquidation, the order, liquidation inside the bar, the close.

In: arrays of one symbol and the orders by the bar that fills them. Out: the account after each bar, and the
log of fills. Everything is plain float64 for numba; frames and errors live in `polyscale.backtesting.engine`.

What happens at a bar, in this order:

1. Funding that falls due by this open is paid on the coins held, at the open, but no more than there is.
2. If the open finds equity <= maintenance * position value, the position is closed there.
3. Else the order, if one was decided at the bar before, is filled at the open, worse by slippage, with fee.
4. If the bar's low (long) or high (short) reaches the price at which equity = maintenance * position value,
   the position is closed at that price: whether the bar came back in time cannot be known.
5. Equity is cash + units * close.

A liquidated account trades no more. Prices are the last traded ones: bars carry no mark price.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
UNITS, CASH, EQUITY, FEE, SLIPPAGE, FUNDING, TRADED = range(7)  # columns of the account
FILL_BAR, FILL_AT_OPEN, FILL_UNITS, FILL_PRICE, FILL_COST = range(5)  # columns of the fills
_ACCOUNT_COLUMNS: Final = 7
_FILL_COLUMNS: Final = 5


class Venue(NamedTuple):
    """What a fill costs and what the venue demands, as fractions."""

    fee: float
    slippage: float
    maintenance: float  # equity <= this share of the position's value is liquidated
    max_leverage: float  # position value / equity after a fill


@numba.njit(cache=True)
def replay(
    prices: Floats, orders: Floats, funding: Floats, capital: float, venue: Venue
) -> tuple[Floats, Floats, bool]:
    """Walk the bars once.

    Parameters
    ----------
    prices
        [T, 4]: open, high, low, close.
    orders
        [T]: the target to fill at this bar's open, signed share of equity; NaN where there is no order.
    funding
        [T, 2]: rates due at this bar's open, by side and by both, see `polyscale.backtesting.funding`.
    capital
        Money at the start.
    venue
        Fractions.

    Returns
    -------
    account : numpy.ndarray
        [T, 7]: units, cash and equity at the close; fee, slippage, funding paid and value traded in the bar.
    fills : numpy.ndarray
        [F, 5]: bar, whether at its open, units after, price before slippage, fee plus slippage in money.
    liquidated : bool
    """
    account = np.zeros((len(prices), _ACCOUNT_COLUMNS))
    fills = np.empty((len(prices) + 1, _FILL_COLUMNS))  # one order a bar, and one liquidation
    num_fills, liquidated = 0, False
    cash, units = capital, 0.0
    for t in range(len(prices)):
        row, start = account[t], prices[t, 0]
        row[FUNDING] = _funding_due(cash, units, start, funding[t])
        cash -= row[FUNDING]
        if units != 0.0 and cash + units * start <= venue.maintenance * abs(units) * start:
            liquidated = True
            cash, price, cost = _liquidate(cash, units, start, venue, row)
            units = 0.0
            _note(fills[num_fills], (t, 1.0), units, price, cost)
            num_fills += 1
        elif not liquidated and not np.isnan(orders[t]):
            wanted = _order_units(orders[t], cash, units, start, venue)
            if wanted != units:
                cash, cost = _fill(cash, wanted - units, start, venue, row)
                units = wanted
                _note(fills[num_fills], (t, 1.0), units, start, cost)
                num_fills += 1
        worst = _liquidation_price(cash, units, venue.maintenance)
        if (units > 0.0 and prices[t, 2] <= worst) or (units < 0.0 and prices[t, 1] >= worst):
            liquidated = True
            cash, price, cost = _liquidate(cash, units, worst, venue, row)
            units = 0.0
            _note(fills[num_fills], (t, 0.0), units, price, cost)
            num_fills += 1
        row[UNITS], row[CASH], row[EQUITY] = units, cash, cash + units * prices[t, 3]
    return account, fills[:num_fills], liquidated


@numba.njit(cache=True)
def _funding_due(cash: float, units: float, price: float, rates: Floats) -> float:
    """Money paid, negative when received; at most the equity there is."""
    due = units * price * rates[0] + abs(units) * price * rates[1]
    return min(due, max(cash + units * price, 0.0)) if due > 0.0 else due


@numba.njit(cache=True)
def _order_units(target: float, cash: float, units: float, price: float, venue: Venue) -> float:
    """Coins to hold for the target: its share of the equity at this open, within the cap after costs.

    With equity E before the order, cost k per coin traded, side of the order s and of the position d, the
    cap ``|u| price <= L (E - s (u - u0) k)`` is ``|u| <= L (E + s u0 k) / (price + L s d k)``. Under a cap of
    1, a target of 1 thus spends the cash to the last cent, fee and slippage included.
    """
    most = venue.max_leverage
    equity = cash + units * price
    wanted = min(max(target, -most), most) * equity / price
    if wanted == 0.0:
        return 0.0
    side = 1.0 if wanted > units else -1.0
    held = 1.0 if wanted > 0.0 else -1.0
    cost = price * (venue.slippage + venue.fee * (1.0 + side * venue.slippage))
    cap = most * (equity + side * units * cost) / (price + most * side * held * cost)
    return held * min(abs(wanted), max(cap, 0.0))


@numba.njit(cache=True)
def _fill(cash: float, bought: float, price: float, venue: Venue, row: Floats) -> tuple[float, float]:
    """Cash after buying (or selling, < 0) coins, and what that cost; adds to the bar's row."""
    side = 1.0 if bought > 0.0 else -1.0
    filled = price * (1.0 + side * venue.slippage)
    fee = abs(bought) * filled * venue.fee
    slippage = abs(bought) * price * venue.slippage
    row[FEE] += fee
    row[SLIPPAGE] += slippage
    row[TRADED] += abs(bought) * price
    return cash - bought * filled - fee, fee + slippage


@numba.njit(cache=True)
def _liquidation_price(cash: float, units: float, maintenance: float) -> float:
    """Where ``cash + units p = maintenance |units| p``; 0 without a position."""
    return -cash / (units - maintenance * abs(units)) if units != 0.0 else 0.0


@numba.njit(cache=True)
def _liquidate(
    cash: float, units: float, price: float, venue: Venue, row: Floats
) -> tuple[float, float, float]:
    """Close it all: cash after, the price before slippage, and the cost.

    Where a gap leaves less than nothing, the venue takes the position over at the bankruptcy price, at which
    cash after fee is 0: an account cannot lose more than it holds.
    """
    side = 1.0 if units > 0.0 else -1.0
    filled = price * (1.0 - side * venue.slippage)
    if cash + units * filled - abs(units) * filled * venue.fee < 0.0:
        price = -cash / (units - venue.fee * abs(units))
        venue = Venue(venue.fee, 0.0, venue.maintenance, venue.max_leverage)
    cash, cost = _fill(cash, -units, price, venue, row)
    return max(cash, 0.0), price, cost  # below 0 by rounding only


@numba.njit(cache=True)
def _note(fill: Floats, when: tuple[int, float], units: float, price: float, cost: float) -> None:
    fill[FILL_BAR], fill[FILL_AT_OPEN] = when
    fill[FILL_UNITS], fill[FILL_PRICE], fill[FILL_COST] = units, price, cost
