"""The words of the event loop: prices, orders, rates, venue; fills and payments; and its own book.

The book is one array with a row per symbol, so that a function can be handed all of it. ``purse``
holds the cash, and how many fills and payments there are.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

FILL_COLUMNS: Final = 8
BAR, SYMBOL, KIND, AT_OPEN, UNITS, PRICE, FEE, SLIPPAGE = range(FILL_COLUMNS)  # columns of the fills
PAYMENT_COLUMNS: Final = 3
PAID = 2  # columns of the payments: BAR, SYMBOL, PAID
KINDS: Final = ("order", "limit", "stop", "take_profit", "liquidation")  # by KIND
BY_ORDER, BY_LIMIT, BY_STOP, BY_TAKE, BY_LIQUIDATION = range(5)

BOOK_COLUMNS: Final = 22
# A symbol's row: coins held and wanted, the pending order (`AS_ORDERED` or `AT_ANY_PRICE`) and whether it has
# met an open, levels (NaN is none), prices that call for a look,
HELD, WANTED, PENDING, RESTING, LIMIT_AT, STOP_AT, TAKE_AT, BELOW, ABOVE = range(9)
# the price at which coins are valued now; this bar, where it goes on from, volume used up, whether a limit
# filled inside, slippage of its range in quote coin
MARK, START, HIGH, LOW, VOLUME, IS_BAR, USED, ENTERED, SPREAD = range(9, 18)
DECIDED = 18  # whether this open brings new levels
LOT_STEP, MIN_QUANTITY, MIN_NOTIONAL = range(19, 22)
CASH, NUM_FILLS, NUM_PAYMENTS = range(3)  # of the purse
AS_ORDERED, AT_ANY_PRICE = 1.0, 2.0  # by PENDING: what closes at any price is given no limit later

# What walks over bars allocates nothing, so it need not count references to arrays: with the counting, a bar
# at which something happens takes four times as long. A function that does allocate fails to compile.
compiled: Final = numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False)  # type: ignore[call-overload]
inlined: Final = numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
allocating: Final = numba.njit(cache=True, nogil=True, error_model="numpy")


class Prices(NamedTuple):
    """Bars of all symbols on one grid of closes; a bar that is missing repeats the close before it."""

    open: Floats  # [N, T], each
    high: Floats
    low: Floats
    close: Floats
    volume: Floats  # coins; 0 where there is no bar
    is_bar: Bools


class Orders(NamedTuple):
    """What was decided, by the bar that fills it, rising; NaN is none."""

    bar: Ints  # [K], each
    symbol: Ints
    target: Floats  # signed share of equity; NaN changes the levels alone
    limit: Floats  # prices
    stop: Floats
    take_profit: Floats


class Rates(NamedTuple):
    """Funding that bars' opens settle, by bar, rising."""

    bar: Ints  # [F], each
    symbol: Ints
    signed: Floats  # what a long pays and a short receives, per unit of position value
    both: Floats  # what either side pays


class Venue(NamedTuple):
    """What a fill costs and what the venue demands."""

    taker_fee: float  # fractions
    maker_fee: float
    slippage: float
    range_slippage: float  # share of the bar's range, on top
    volume_share: float  # of a bar's volume that may be filled; inf: all
    maintenance: float  # equity <= this share of the gross value is liquidated
    max_leverage: float  # gross value / equity after a fill


class Events(NamedTuple):
    """What changed the account."""

    fills: Floats  # [F, 8]
    payments: Floats  # [P, 3]; paid, negative when received
    liquidated: bool


@compiled
def equity_of(book: Floats, purse: Floats) -> float:
    """Cash and coins at their marks."""
    equity = purse[CASH]
    for n in range(len(book)):
        equity += book[n, HELD] * book[n, MARK]
    return equity


@compiled
def gross_of(book: Floats) -> float:
    """Values at the marks with all signs positive."""
    gross = 0.0
    for n in range(len(book)):
        gross += abs(book[n, HELD]) * book[n, MARK]
    return gross


@inlined
def see_bar(book: Floats, prices: Prices, t: int, venue: Venue) -> None:
    """Put a bar into the book; everything is valued at its open."""
    for n in range(len(book)):
        start, high, low = prices.open[n, t], prices.high[n, t], prices.low[n, t]
        book[n, START], book[n, HIGH], book[n, LOW], book[n, MARK] = start, high, low, start
        book[n, IS_BAR] = prices.is_bar[n, t]
        if venue.volume_share < np.inf:
            book[n, VOLUME] = prices.volume[n, t]
        book[n, USED], book[n, ENTERED], book[n, DECIDED] = 0.0, 0.0, 0.0
        book[n, SPREAD] = venue.range_slippage * (high - low)


@compiled
def slip_of(book: Floats, n: int, price: float, venue: Venue) -> float:
    """Slippage of a taker, fraction of the price; never more than all of it."""
    return min(venue.slippage + book[n, SPREAD] / price, 1.0)
