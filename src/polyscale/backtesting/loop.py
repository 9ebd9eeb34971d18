"""The event loop: what happens to one account that trades many symbols, bar by bar.

In: prices, orders and funding as arrays. Out: the events that changed the account: fills and payments of
funding, in the order in which they happened. Coins and cash stand still between events, so everything else
is a sum over them (`polyscale.backtesting.account`, `polyscale.backtesting.trades`). Plain float64 for
numba; frames and errors live in `polyscale.backtesting.engine`.

What happens at a bar, in this order:

1. Funding that falls due by this open is paid on the coins held, at the open, but no more than there is.
2. If the open finds equity <= maintenance * gross value, the account is liquidated at the opens.
3. Stops that the open has touched or passed fill at the open; take-profits that it has passed fill at their
   own price, for no more than there is.
4. What was decided at the symbol's bar before counts from here. Where the open has already passed a stop or
   take-profit of an order, or a new one of what is held, the order is refused and what is held is closed.
   Orders fill at the open, those that only make a position smaller first. A limit that is new fills at the
   open if that is no worse, as taker, slipping no further than the limit; else it rests. One that rested and
   was passed between bars fills at its own price.
5. Inside the bar: the account is liquidated if it would be with every symbol at its worst price of the bar,
   or at its stop where that comes first and the volume can fill it whole. Limits that enter or turn and are
   traded through fill, the account is asked again; then stops; then, of a take-profit and a limit that only
   makes the position smaller, the nearer one. A limit at which its own stop or take-profit is passed is off.
   Which came first cannot be known: the order is the one that is worst for us.

Market orders and stops are takers and slip, limits and take-profits are makers and do not. A sale never
slips below nothing, a fill costs at most the equity that it leaves at the worst of what is kept, and a
liquidated account trades no more. Levels protect a position on the side of its target; one that is being
turned has none. What volume leaves of a level's closing is closed at the next opens, at any price. An order
never trades against its own direction to meet the leverage. What is left of an order is held to the same
order rules as the whole.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from polyscale.backtesting.book import (
    ABOVE,
    BAR,
    BELOW,
    BOOK_COLUMNS,
    CASH,
    FILL_COLUMNS,
    HELD,
    LIMIT_AT,
    LOT_STEP,
    MARK,
    MIN_NOTIONAL,
    MIN_QUANTITY,
    NUM_FILLS,
    NUM_PAYMENTS,
    PAID,
    PAYMENT_COLUMNS,
    PENDING,
    STOP_AT,
    SYMBOL,
    TAKE_AT,
    WANTED,
    Events,
    Floats,
    Orders,
    Prices,
    Rates,
    Venue,
    allocating,
    compiled,
    equity_of,
    inlined,
    see_bar,
)
from polyscale.backtesting.fills import take_orders
from polyscale.backtesting.levels import (
    enter_inside,
    fill_at_open,
    leave_inside,
    levels_at_open,
    liquidated_inside,
)
from polyscale.backtesting.liquidation import liquidate_at_open

FILLS_A_BAR: Final = 6  # of one symbol, at most


class _Place(NamedTuple):
    """Where the walk is."""

    order: int  # the next one
    rate: int  # the next one
    bar: int
    idle: bool  # nothing is held and nothing pending
    busy: bool  # something must be looked at in every bar
    liquidated: bool


@allocating
def replay(
    prices: Prices, orders: Orders, rates: Rates, capital: float, venue: Venue, rules: Floats
) -> Events:
    """Walk the bars once.

    Parameters
    ----------
    rules
        [N, 3]: lot step, least quantity, least notional of each symbol; 0 demands nothing.
    """
    num_symbols, num_bars = prices.open.shape
    book, purse = np.zeros((num_symbols, BOOK_COLUMNS)), np.array([capital, 0.0, 0.0])
    for n in range(num_symbols):
        book[n, LIMIT_AT], book[n, STOP_AT], book[n, TAKE_AT] = np.nan, np.nan, np.nan
        book[n, LOT_STEP], book[n, MIN_QUANTITY], book[n, MIN_NOTIONAL] = rules[n]
    room = FILLS_A_BAR * num_symbols
    fills, payments = np.empty((64 + room, FILL_COLUMNS)), np.empty((len(rates.bar), PAYMENT_COLUMNS))
    place = _Place(0, 0, 0, True, False, False)
    while place.bar < num_bars and not place.liquidated:
        if len(fills) < int(purse[NUM_FILLS]) + room:
            fills = _grown(fills, room)
        place = _walk(book, purse, fills, payments, prices, orders, rates, venue, place)
    num_fills, num_payments = int(purse[NUM_FILLS]), int(purse[NUM_PAYMENTS])
    return Events(fills[:num_fills], payments[:num_payments], place.liquidated)


@allocating
def _grown(fills: Floats, room: int) -> Floats:
    """The same rows with room for as many again; in loops, which take a sixth of the time to compile."""
    grown = np.empty((2 * len(fills) + room, FILL_COLUMNS))
    for row in range(len(fills)):
        for column in range(FILL_COLUMNS):
            grown[row, column] = fills[row, column]
    return grown


@compiled
def _walk(
    book: Floats,
    purse: Floats,
    fills: Floats,
    payments: Floats,
    prices: Prices,
    orders: Orders,
    rates: Rates,
    venue: Venue,
    place: _Place,
) -> _Place:
    """Walk on until the end, or until the fills of another bar may find no room.

    Between events a bar costs a look at its extremes: they tell whether a level or the liquidation can have
    been reached.
    """
    order, rate, t, idle, busy, liquidated = place
    num_symbols, num_bars = prices.open.shape
    room = len(fills) - FILLS_A_BAR * num_symbols
    while t < num_bars and not liquidated and int(purse[NUM_FILLS]) <= room:
        order_bar = orders.bar[order] if order < len(orders.bar) else num_bars
        rate_bar = rates.bar[rate] if rate < len(rates.bar) else num_bars
        if idle:
            t = min(order_bar, rate_bar)
        elif not busy:
            t = _scan(book, purse, prices, venue.maintenance, t, min(order_bar, rate_bar))
        if t == num_bars:
            break
        if rate_bar == t:
            rate = _pay_funding(book, purse, prices, rates, rate, payments)
        reached = not idle and _scan(book, purse, prices, venue.maintenance, t, t + 1) == t
        if reached or busy or order_bar == t:
            due = order if order_bar == t else -1
            order, liquidated = _look(book, purse, fills, prices, orders, due, order, reached, venue, t)
            idle, busy = _watch(book)
        t += 1
    return _Place(order, rate, t, idle, busy, liquidated)


@inlined
def _pay_funding(
    book: Floats, purse: Floats, prices: Prices, rates: Rates, first: int, payments: Floats
) -> int:
    """Pay what falls due at the open of the first rate's bar; returns the first rate of a later bar.

    A payment is at most the equity there is, and negative when received.
    """
    t, rate = rates.bar[first], first
    for n in range(len(book)):
        book[n, MARK] = prices.open[n, t]
    while rate < len(rates.bar) and rates.bar[rate] == t:
        n = rates.symbol[rate]
        value = book[n, HELD] * book[n, MARK]
        due = value * rates.signed[rate] + abs(value) * rates.both[rate]
        if due > 0.0:
            due = min(due, max(equity_of(book, purse), 0.0))
        if due != 0.0:
            purse[CASH] -= due
            at = int(purse[NUM_PAYMENTS])
            payments[at, BAR], payments[at, SYMBOL], payments[at, PAID] = t, n, due
            purse[NUM_PAYMENTS] += 1
        rate += 1
    return rate


@inlined
def _look(
    book: Floats,
    purse: Floats,
    fills: Floats,
    prices: Prices,
    orders: Orders,
    due: int,
    order: int,
    reached: bool,
    venue: Venue,
    t: int,
) -> tuple[int, bool]:
    """Everything but funding that happens at a bar; the next order, and whether the account was liquidated.

    ``due`` is the first order of this bar, -1 for none; ``reached`` whether a level may be, as held before.
    """
    first = int(purse[NUM_FILLS])
    see_bar(book, prices, t, venue)
    liquidated = reached and liquidate_at_open(book, purse, fills, venue)
    if reached and not liquidated:
        levels_at_open(book, purse, fills, venue)
    if due >= 0:
        order = take_orders(book, purse, orders, due, venue.max_leverage)
    if not liquidated:
        fill_at_open(book, purse, fills, venue)
        idle, _ = _watch(book)
        if not idle and _scan(book, purse, prices, venue.maintenance, t, t + 1) == t:
            liquidated = liquidated_inside(book, purse, fills, venue)
            if not liquidated and enter_inside(book, purse, fills, venue):
                liquidated = liquidated_inside(book, purse, fills, venue)
            if not liquidated:
                leave_inside(book, purse, fills, venue)
    for fill in range(first, int(purse[NUM_FILLS])):
        fills[fill, BAR] = t
    return order, liquidated


@inlined
def _scan(book: Floats, purse: Floats, prices: Prices, maintenance: float, t: int, stop: int) -> int:
    """First bar from t on at which a level or the liquidation can have been reached; else ``stop``."""
    lows, highs, cash = prices.low, prices.high, purse[CASH]
    long_weight, short_weight = 1.0 - maintenance, 1.0 + maintenance
    if len(book) == 1:
        units, below, above = book[0, HELD], book[0, BELOW], book[0, ABOVE]
        bound = units * long_weight if units > 0.0 else units * short_weight
        is_long = units > 0.0
        while t < stop:
            low, high = lows[0, t], highs[0, t]
            if low <= below or high >= above or cash + bound * (low if is_long else high) <= 0.0:
                break
            t += 1
        return t
    while t < stop:
        worst, reached = cash, False
        for n in range(len(book)):
            low, high, units = lows[n, t], highs[n, t], book[n, HELD]
            reached |= low <= book[n, BELOW] or high >= book[n, ABOVE]
            worst += units * low * long_weight if units > 0.0 else units * high * short_weight
        if reached or worst <= 0.0:
            break
        t += 1
    return t


@inlined
def _watch(book: Floats) -> tuple[bool, bool]:
    """Set the prices that call for a look; say if nothing can happen, and if every bar must be looked at."""
    idle, busy = True, False
    for n in range(len(book)):
        units, low, high = book[n, HELD], np.nan, np.nan
        if units != 0.0:
            idle = False
            low, high = book[n, STOP_AT], book[n, TAKE_AT]
            if units < 0.0:
                low, high = high, low
        book[n, BELOW] = -np.inf if np.isnan(low) else low
        book[n, ABOVE] = np.inf if np.isnan(high) else high
        if book[n, PENDING] != 0.0:
            idle, limit = False, book[n, LIMIT_AT]
            if np.isnan(limit):
                busy = True
            elif book[n, WANTED] > units:
                book[n, BELOW] = max(book[n, BELOW], limit)
            else:
                book[n, ABOVE] = min(book[n, ABOVE], limit)
    return idle, busy
