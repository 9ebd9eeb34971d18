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
slips below nothing, a fill costs at most the equity there is, and a liquidated account trades no more.
Levels protect a position on the side of its target; one that is being turned has none. What volume leaves of
a level's closing is closed at the next opens, at any price. An order never trades against its own direction
to meet the leverage. What is left of an order is held to the same order rules as the whole.
"""

from __future__ import annotations

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


@compiled
def replay(
    prices: Prices, orders: Orders, rates: Rates, capital: float, venue: Venue, rules: Floats
) -> Events:
    """Walk the bars once.

    Between events a bar costs a look at its extremes: they tell whether a level or the liquidation can have
    been reached.

    Parameters
    ----------
    rules
        [N, 3]: lot step, least quantity, least notional of each symbol; 0 demands nothing.
    """
    opens, highs, lows, _, volumes, is_bar = prices
    order_bars, order_symbols, targets, limits, stops, takes = orders
    rate_bars, rate_symbols, signed, both = rates
    num_symbols, num_bars = opens.shape
    num_orders, num_rates = len(order_bars), len(rate_bars)
    book, purse = np.zeros((num_symbols, BOOK_COLUMNS)), np.array([capital, 0.0, 0.0])
    book[:, LIMIT_AT : TAKE_AT + 1] = np.nan
    book[:, LOT_STEP:] = rules
    room = 6 * num_symbols  # fills that one bar may bring
    fills, payments = np.empty((64 + room, FILL_COLUMNS)), np.empty((num_rates, PAYMENT_COLUMNS))
    order, rate, t = 0, 0, 0
    idle, busy, liquidated = True, False, False
    while t < num_bars and not liquidated:
        order_bar = order_bars[order] if order < num_orders else num_bars
        rate_bar = rate_bars[rate] if rate < num_rates else num_bars
        if idle:
            t = min(order_bar, rate_bar)
        elif not busy:
            t = _scan(book, purse, lows, highs, venue.maintenance, t, min(order_bar, rate_bar))
        if t == num_bars:
            break
        if rate_bar == t:
            for n in range(num_symbols):
                book[n, MARK] = opens[n, t]
            while rate < num_rates and rate_bars[rate] == t:
                _pay_funding(book, purse, payments, rate_symbols[rate], signed[rate], both[rate], t)
                rate += 1
        reached = not idle and _scan(book, purse, lows, highs, venue.maintenance, t, t + 1) == t
        if reached or busy or order_bar == t:
            if len(fills) < int(purse[NUM_FILLS]) + room:
                fills = np.concatenate((fills, np.empty((len(fills) + room, FILL_COLUMNS))))
            first = int(purse[NUM_FILLS])
            see_bar(book, opens, highs, lows, volumes, is_bar, t, venue)
            liquidated = reached and liquidate_at_open(book, purse, fills, venue)
            if reached and not liquidated:
                levels_at_open(book, purse, fills, venue)
            if order_bar == t:
                end = order
                while end < num_orders and order_bars[end] == t:
                    end += 1
                which = (order, end)
                take_orders(
                    book, purse, order_symbols, targets, limits, stops, takes, which, venue.max_leverage
                )
                order = end
            if not liquidated:
                fill_at_open(book, purse, fills, venue)
                idle, busy = _watch(book)
                if not idle and _scan(book, purse, lows, highs, venue.maintenance, t, t + 1) == t:
                    liquidated = liquidated_inside(book, purse, fills, venue)
                    if not liquidated and enter_inside(book, purse, fills, venue):
                        liquidated = liquidated_inside(book, purse, fills, venue)
                    if not liquidated:
                        leave_inside(book, purse, fills, venue)
                    idle, busy = _watch(book)
            for fill in range(first, int(purse[NUM_FILLS])):
                fills[fill, BAR] = t
        t += 1
    num_fills, num_payments = int(purse[NUM_FILLS]), int(purse[NUM_PAYMENTS])
    return Events(fills[:num_fills], payments[:num_payments], liquidated)


@inlined
def _pay_funding(
    book: Floats, purse: Floats, payments: Floats, n: int, signed: float, both: float, t: int
) -> None:
    """Pay what falls due at this open, at most the equity there is; negative is received."""
    value = book[n, HELD] * book[n, MARK]
    due = value * signed + abs(value) * both
    if due > 0.0:
        due = min(due, max(equity_of(book, purse), 0.0))
    if due != 0.0:
        purse[CASH] -= due
        at = int(purse[NUM_PAYMENTS])
        payments[at, BAR], payments[at, SYMBOL], payments[at, PAID] = t, n, due
        purse[NUM_PAYMENTS] += 1


@inlined
def _scan(
    book: Floats, purse: Floats, lows: Floats, highs: Floats, maintenance: float, t: int, stop: int
) -> int:
    """First bar from t on at which a level or the liquidation can have been reached; else ``stop``."""
    cash = purse[CASH]
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
