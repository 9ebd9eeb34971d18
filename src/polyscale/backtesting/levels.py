"""What a bar's prices reach: stops, take-profits, resting limits, liquidation.

In: the book with this bar in it. Out: the book changed and rows of the fills. Which of them a bar reached
first cannot be known: they are taken in the order that is worst for us.
"""

from __future__ import annotations

import numpy as np

from polyscale.backtesting.book import (
    AT_ANY_PRICE,
    BY_LIMIT,
    BY_ORDER,
    BY_STOP,
    BY_TAKE,
    DECIDED,
    ENTERED,
    HELD,
    HIGH,
    IS_BAR,
    LIMIT_AT,
    LOW,
    MARK,
    PENDING,
    RESTING,
    START,
    STOP_AT,
    TAKE_AT,
    WANTED,
    Floats,
    Venue,
    compiled,
    equity_of,
    gross_of,
    slip_of,
)
from polyscale.backtesting.fills import close, execute, volume_left
from polyscale.backtesting.liquidation import liquidate, mark_liquidation


@compiled
def levels_at_open(book: Floats, purse: Floats, fills: Floats, venue: Venue) -> None:
    """Close what the open finds beyond its stop or take-profit."""
    for n in range(len(book)):
        side, start, take = _side(book, n), book[n, START], book[n, TAKE_AT]
        if side == 0.0 or book[n, IS_BAR] == 0.0:
            continue
        if side * (book[n, STOP_AT] - start) >= 0.0:
            slip = slip_of(book, n, start, venue)
            close(book, purse, fills, n, (BY_STOP, True, start, slip, venue.taker_fee), venue)
        elif side * (start - take) > 0.0:
            close(book, purse, fills, n, (BY_TAKE, True, take, 0.0, venue.maker_fee), venue)


@compiled
def fill_at_open(book: Floats, purse: Floats, fills: Floats, venue: Venue) -> None:
    """Fill pending orders at the open: first those that make positions smaller, then the others."""
    _refuse(book)
    for reducing in (True, False):
        for n in range(len(book)):
            if book[n, PENDING] == 0.0 or book[n, IS_BAR] == 0.0 or _is_exit(book, n) != reducing:
                continue
            start, limit, rested = book[n, START], book[n, LIMIT_AT], book[n, RESTING] != 0.0
            better = limit - start if book[n, WANTED] > book[n, HELD] else start - limit
            book[n, RESTING] = 1.0
            slip = slip_of(book, n, start, venue)
            if np.isnan(limit):
                how = (BY_ORDER, True, start, slip, venue.taker_fee)
            elif better < 0.0 or (rested and better == 0.0):
                continue
            elif rested:
                how = (BY_LIMIT, True, limit, 0.0, venue.maker_fee)
            else:
                how = (BY_LIMIT, True, start, min(slip, better / start), venue.taker_fee)
            execute(book, purse, fills, n, how, venue)


@compiled
def _refuse(book: Floats) -> None:
    """Want nothing where the open has passed a level of an order, or a new one of what is held."""
    for n in range(len(book)):
        rests = book[n, RESTING] != 0.0 and not np.isnan(book[n, LIMIT_AT])
        is_order = book[n, PENDING] != 0.0 and not rests
        is_new = book[n, DECIDED] != 0.0 and book[n, HELD] != 0.0
        if book[n, IS_BAR] != 0.0 and (is_order or is_new) and _is_passed(book, n, book[n, START]):
            book[n, WANTED], book[n, LIMIT_AT], book[n, PENDING] = 0.0, np.nan, AT_ANY_PRICE


@compiled
def liquidated_inside(book: Floats, purse: Floats, fills: Floats, venue: Venue) -> bool:
    """Close the account if it does not bear this bar's worst, which stays in the marks; whether it did."""
    for n in range(len(book)):
        units = book[n, HELD]
        book[n, MARK] = book[n, START]
        if units != 0.0 and book[n, IS_BAR] != 0.0:
            book[n, MARK] = book[n, LOW] if units > 0.0 else book[n, HIGH]
            if _is_stopped(book, n) and abs(units) <= volume_left(book, n, venue.volume_share):
                book[n, MARK] = _stop_price(book, n)
    gross = gross_of(book)
    if gross == 0.0 or equity_of(book, purse) > venue.maintenance * gross:
        return False
    mark_liquidation(book, purse, venue.maintenance)
    liquidate(book, purse, fills, False, venue)
    return True


@compiled
def enter_inside(book: Floats, purse: Floats, fills: Floats, venue: Venue) -> bool:
    """Fill limits that the bar trades through, but for exits; whether there was one.

    A limit at which the stop or take-profit is passed already is off.
    """
    found = False
    for n in range(len(book)):
        if _is_exit(book, n) or not _is_traded_through(book, n):
            continue
        if _is_passed(book, n, book[n, LIMIT_AT]):
            book[n, PENDING] = 0.0
            continue
        if not found:
            found = True
            for each in range(len(book)):
                book[each, MARK] = book[each, START]
        units, limit = book[n, HELD], book[n, LIMIT_AT]
        execute(book, purse, fills, n, (BY_LIMIT, False, limit, 0.0, venue.maker_fee), venue)
        if book[n, HELD] != units:
            book[n, ENTERED], book[n, START], book[n, MARK] = 1.0, limit, limit
    return found


@compiled
def leave_inside(book: Floats, purse: Floats, fills: Floats, venue: Venue) -> None:
    """Stops, then of take-profit and limits that take out of the market the nearer one."""
    for n in range(len(book)):
        units, take, limit = book[n, HELD], book[n, TAKE_AT], book[n, LIMIT_AT]
        if units == 0.0 or book[n, IS_BAR] == 0.0:
            continue
        if _is_stopped(book, n):
            price = _stop_price(book, n)
            at_open = _side(book, n) * (book[n, START] - book[n, STOP_AT]) <= 0.0
            how = (BY_STOP, at_open, price, slip_of(book, n, price, venue), venue.taker_fee)
            close(book, purse, fills, n, how, venue)
            continue
        side = _side(book, n)
        reached = side * ((book[n, HIGH] if side > 0.0 else book[n, LOW]) - take) > 0.0
        takes = reached and book[n, ENTERED] == 0.0
        leaves = _is_exit(book, n) and _is_traded_through(book, n)
        if leaves and not (takes and side * (take - limit) <= 0.0):
            execute(book, purse, fills, n, (BY_LIMIT, False, limit, 0.0, venue.maker_fee), venue)
        elif takes:
            close(book, purse, fills, n, (BY_TAKE, False, take, 0.0, venue.maker_fee), venue)


@compiled
def _side(book: Floats, n: int) -> float:
    """Side of the position that levels protect; 0 for none, or one on its way to the other side."""
    units = book[n, HELD]
    return np.sign(units) if units * book[n, WANTED] >= 0.0 else 0.0


@compiled
def _is_exit(book: Floats, n: int) -> bool:
    """Whether what is wanted makes the position smaller and does not turn it."""
    units, wanted = book[n, HELD], book[n, WANTED]
    return wanted * units >= 0.0 and abs(wanted) < abs(units)


@compiled
def _is_passed(book: Floats, n: int, price: float) -> bool:
    """Whether the wanted position's stop or take-profit lies on the wrong side of the price."""
    stop, take, wanted = book[n, STOP_AT], book[n, TAKE_AT], book[n, WANTED]
    if wanted > 0.0:
        return stop >= price or take <= price
    return wanted < 0.0 and (stop <= price or take >= price)


@compiled
def _is_stopped(book: Floats, n: int) -> bool:
    """Whether the bar touches the stop."""
    side, stop = _side(book, n), book[n, STOP_AT]
    return book[n, LOW] <= stop if side > 0.0 else side < 0.0 and book[n, HIGH] >= stop


@compiled
def _stop_price(book: Floats, n: int) -> float:
    """The stop, or where the bar goes on from if that is beyond it."""
    stop, start = book[n, STOP_AT], book[n, START]
    return min(stop, start) if book[n, HELD] > 0.0 else max(stop, start)


@compiled
def _is_traded_through(book: Floats, n: int) -> bool:
    """Whether the bar trades through a limit that rests from its open on."""
    limit, start = book[n, LIMIT_AT], book[n, START]
    if book[n, PENDING] == 0.0 or np.isnan(limit) or book[n, IS_BAR] == 0.0:
        return False
    buys = book[n, WANTED] > book[n, HELD]
    return book[n, LOW] < limit <= start if buys else book[n, HIGH] > limit >= start
