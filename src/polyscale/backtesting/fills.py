"""How orders become fills: what may be held, what the volume gives, what it costs.

In: the book, valued at this moment's prices. Out: the book changed and a row of the fills. A fill costs at
most the equity there is.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from polyscale.backtesting.book import (
    AS_ORDERED,
    AT_ANY_PRICE,
    AT_OPEN,
    CASH,
    DECIDED,
    FEE,
    HELD,
    KIND,
    LIMIT_AT,
    LOT_STEP,
    MARK,
    MIN_NOTIONAL,
    MIN_QUANTITY,
    NUM_FILLS,
    PENDING,
    PRICE,
    RESTING,
    SLIPPAGE,
    STOP_AT,
    SYMBOL,
    TAKE_AT,
    UNITS,
    USED,
    VOLUME,
    WANTED,
    Floats,
    Orders,
    Venue,
    compiled,
    equity_of,
    gross_of,
    inlined,
)

_LOT_SLACK: Final = 1e-9  # a size this close to a whole lot is that lot: 0.3 / 0.1 is 2.9999999999999996


@inlined
def take_orders(book: Floats, purse: Floats, orders: Orders, first: int, most: float) -> int:
    """Set levels and wanted coins; targets that would pass the leverage together are all cut by one share.

    Returns the first order of a later bar.
    """
    asked, kept, stop = 0.0, gross_of(book), first
    equity = max(equity_of(book, purse), 0.0)
    while stop < len(orders.bar) and orders.bar[stop] == orders.bar[first]:
        n, target, mark = orders.symbol[stop], orders.target[stop], book[orders.symbol[stop], MARK]
        book[n, STOP_AT], book[n, TAKE_AT] = orders.stop[stop], orders.take_profit[stop]
        book[n, DECIDED] = 1.0
        if not np.isnan(target):
            book[n, WANTED] = min(max(target, -most), most) * equity / mark
            book[n, PENDING], book[n, RESTING] = AS_ORDERED, 0.0
            asked += abs(book[n, WANTED]) * mark
            kept -= abs(book[n, HELD]) * mark
        if book[n, PENDING] != AT_ANY_PRICE and book[n, LIMIT_AT] != orders.limit[stop]:
            book[n, LIMIT_AT], book[n, RESTING] = orders.limit[stop], 0.0
        stop += 1
    room = max(most * equity - kept, 0.0)
    if asked > room * (1.0 + 1e-12):
        for k in range(first, stop):
            if not np.isnan(orders.target[k]):
                book[orders.symbol[k], WANTED] *= room / asked
    return stop


@compiled
def execute(
    book: Floats,
    purse: Floats,
    fills: Floats,
    n: int,
    how: tuple[int, bool, float, float, float],
    venue: Venue,
) -> None:
    """Fill the pending order as far as leverage, order rules and volume allow; what volume leaves waits."""
    _, _, price, slip, fee = how
    aim = _allowed(book, purse, n, price, slip, fee, venue.max_leverage)
    after = _available(book, n, aim, venue.volume_share)
    if after == aim:
        book[n, PENDING] = 0.0
    if after != book[n, HELD]:
        fill(book, purse, fills, n, after, how)


@compiled
def close(
    book: Floats,
    purse: Floats,
    fills: Floats,
    n: int,
    how: tuple[int, bool, float, float, float],
    venue: Venue,
) -> None:
    """Close a position at a level, whatever was pending; what volume leaves is closed at the next opens."""
    after = _available(book, n, 0.0, venue.volume_share)
    book[n, WANTED], book[n, LIMIT_AT] = 0.0, np.nan
    book[n, PENDING] = 0.0 if after == 0.0 else AT_ANY_PRICE
    if after != book[n, HELD]:
        fill(book, purse, fills, n, after, how)


@compiled
def _allowed(
    book: Floats, purse: Floats, n: int, price: float, slip: float, fee: float, most: float
) -> float:
    """Coins to hold for the pending order: within the leverage after costs, in whole lots, not too small.

    With equity E before the order, the gross value G of the other symbols, cost k per coin traded, side of
    the order s and of the position d, the cap ``|u| p + G <= L (E - s (u - u0) k)`` is
    ``|u| <= (L (E + s u0 k) - G) / (p + L s d k)``. Under a cap of 1, a target of 1 thus spends the cash to
    the last cent, fee and slippage included. An order to buy does not sell where the cap is below what is
    held, nor the other way round.
    """
    units, wanted = book[n, HELD], book[n, WANTED]
    if wanted == 0.0:
        return 0.0
    side = 1.0 if wanted > units else -1.0
    held = 1.0 if wanted > 0.0 else -1.0
    cost = price * (slip + fee * (1.0 + side * slip))
    others = gross_of(book) - abs(units) * book[n, MARK]
    equity = equity_of(book, purse) + units * (price - book[n, MARK])
    cap = (most * (equity + side * units * cost) - others) / (price + most * side * held * cost)
    after = held * _whole_lots(min(abs(wanted), max(cap, 0.0)), book[n, LOT_STEP])
    change = side * (after - units)
    too_small = change < book[n, MIN_QUANTITY] or change * price < book[n, MIN_NOTIONAL]
    return units if change <= 0.0 or (too_small and after != 0.0) else after


@compiled
def _available(book: Floats, n: int, after: float, volume_share: float) -> float:
    """Coins after a fill that shall lead to ``after``: all of it, or what the bar's volume allows."""
    if volume_share == np.inf:
        return after
    units = book[n, HELD]
    asked = abs(after - units)
    left = volume_left(book, n, volume_share)
    if asked > left:
        asked = _whole_lots(left, book[n, LOT_STEP])
        after = units + asked if after > units else units - asked
    book[n, USED] += asked
    return after


@compiled
def volume_left(book: Floats, n: int, volume_share: float) -> float:
    """Coins of this bar that may still be filled."""
    return np.inf if volume_share == np.inf else max(volume_share * book[n, VOLUME] - book[n, USED], 0.0)


@compiled
def _whole_lots(size: float, step: float) -> float:
    """A size >= 0 in whole lots, rounded down."""
    return np.floor(size / step + _LOT_SLACK) * step if step > 0.0 else size


@compiled
def fill(
    book: Floats,
    purse: Floats,
    fills: Floats,
    n: int,
    after: float,
    how: tuple[int, bool, float, float, float],
) -> None:
    """Go to ``after`` coins and note it; ``how`` is kind, whether at the open, price, slip, fee.

    Where a gap made other positions lose what a take-profit at its own price does not bring, it is closed at
    the price at which nothing is left.
    """
    kind, at_open, price, slip, fee_rate = how
    held, mark = book[n, HELD], book[n, MARK]
    bought = after - held
    side = 1.0 if bought > 0.0 else -1.0
    equity = equity_of(book, purse)
    if after == 0.0 and equity >= 0.0 and equity + held * (price - mark) < 0.0:
        price = mark - equity / held
    rest = min(after * (mark - price), 0.0)  # what is kept is worth its mark if that is worse
    left = max(equity + held * (price - mark) + rest, 0.0)
    fee = min(abs(bought) * price * (1.0 + side * slip) * fee_rate, left)
    slippage = min(abs(bought) * price * slip, left - fee)
    purse[CASH] -= bought * price + fee + slippage
    book[n, HELD] = after
    at = int(purse[NUM_FILLS])
    fills[at, SYMBOL], fills[at, KIND], fills[at, AT_OPEN] = n, kind, at_open
    fills[at, UNITS], fills[at, PRICE], fills[at, FEE], fills[at, SLIPPAGE] = after, price, fee, slippage
    purse[NUM_FILLS] += 1
