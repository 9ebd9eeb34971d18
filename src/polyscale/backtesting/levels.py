"""What a bar's prices reach: stops, take-profits, resting limits, liquidation.

In: the book with this bar in it. Out: the book changed and rows of the fills. Which of them a bar reached
first cannot be known: they are taken in the order that is worst for us.
"""

from __future__ import annotations

import numpy as np

from polyscale.backtesting.book import (
    BY_LIMIT,
    BY_ORDER,
    BY_STOP,
    BY_TAKE,
    ENTERED,
    HELD,
    HIGH,
    IS_BAR,
    LIMIT_AT,
    LOW,
    MARK,
    PENDING,
    RESTING,
    SLIP,
    START,
    STOP_AT,
    TAKE_AT,
    WANTED,
    Floats,
    Venue,
    equity_of,
    gross_of,
    inlined,
)
from polyscale.backtesting.fills import close, execute
from polyscale.backtesting.liquidation import liquidate, mark_liquidation


@inlined
def levels_at_open(book: Floats, purse: Floats, fills: Floats, venue: Venue) -> None:
    """Close what the open finds beyond its stop or take-profit."""
    for n in range(len(book)):
        units, start, take = book[n, HELD], book[n, START], book[n, TAKE_AT]
        if units == 0.0 or book[n, IS_BAR] == 0.0:
            continue
        side = 1.0 if units > 0.0 else -1.0
        if side * (book[n, STOP_AT] - start) >= 0.0:
            close(book, purse, fills, n, (BY_STOP, True, start, book[n, SLIP], venue.taker_fee), venue)
        elif side * (start - take) > 0.0:
            close(book, purse, fills, n, (BY_TAKE, True, take, 0.0, venue.maker_fee), venue)


@inlined
def fill_at_open(book: Floats, purse: Floats, fills: Floats, venue: Venue) -> None:
    """Fill pending orders at the open: first those that make positions smaller, then the others."""
    for reducing in (True, False):
        for n in range(len(book)):
            if book[n, PENDING] == 0.0 or book[n, IS_BAR] == 0.0:
                continue
            units, wanted, start = book[n, HELD], book[n, WANTED], book[n, START]
            if (units != 0.0 and wanted * units >= 0.0 and abs(wanted) < abs(units)) != reducing:
                continue
            if book[n, RESTING] == 0.0 and _is_passed(book, n, start):
                book[n, WANTED], book[n, LIMIT_AT], wanted = 0.0, np.nan, 0.0
            limit, rested = book[n, LIMIT_AT], book[n, RESTING] != 0.0
            book[n, RESTING] = 1.0
            if np.isnan(limit):
                how = (BY_ORDER, True, start, book[n, SLIP], venue.taker_fee)
            elif start > limit if wanted > units else start < limit:
                continue
            elif rested:
                how = (BY_LIMIT, True, limit, 0.0, venue.maker_fee)
            else:
                how = (BY_LIMIT, True, start, min(book[n, SLIP], abs(limit - start) / start), venue.taker_fee)
            execute(book, purse, fills, n, how, venue)


@inlined
def _is_passed(book: Floats, n: int, price: float) -> bool:
    """Whether the wanted position's stop or take-profit lies on the wrong side of the price."""
    stop, take, wanted = book[n, STOP_AT], book[n, TAKE_AT], book[n, WANTED]
    if wanted > 0.0:
        return stop >= price or take <= price
    return wanted < 0.0 and (stop <= price or take >= price)


@inlined
def limits_inside(book: Floats, purse: Floats, fills: Floats, venue: Venue) -> None:
    """Fill resting limits that the bar trades through."""
    for n in range(len(book)):
        limit, start = book[n, LIMIT_AT], book[n, START]
        if book[n, PENDING] == 0.0 or np.isnan(limit) or book[n, IS_BAR] == 0.0:
            continue
        units = book[n, HELD]
        buys = book[n, WANTED] > units
        reached = book[n, LOW] < limit < start if buys else book[n, HIGH] > limit > start
        if reached:
            execute(book, purse, fills, n, (BY_LIMIT, False, limit, 0.0, venue.maker_fee), venue)
            book[n, ENTERED] = book[n, HELD] != units


@inlined
def levels_inside(book: Floats, purse: Floats, fills: Floats, venue: Venue) -> bool:
    """Liquidation, stops and take-profits inside the bar; whether the account was liquidated."""
    held = False
    for n in range(len(book)):
        units, stop, start = book[n, HELD], book[n, STOP_AT], book[n, START]
        if units == 0.0 or book[n, IS_BAR] == 0.0:
            continue
        held = True
        if units > 0.0:  # the worst price of the bar, or the stop where that comes first
            book[n, MARK] = book[n, LOW] if np.isnan(stop) else max(book[n, LOW], min(stop, start))
        else:
            book[n, MARK] = book[n, HIGH] if np.isnan(stop) else min(book[n, HIGH], max(stop, start))
    if not held:
        return False
    if equity_of(book, purse) <= venue.maintenance * gross_of(book):
        mark_liquidation(book, purse, venue.maintenance)
        liquidate(book, purse, fills, False, venue.taker_fee)
        return True
    for n in range(len(book)):
        units, stop, take = book[n, HELD], book[n, STOP_AT], book[n, TAKE_AT]
        if units == 0.0 or book[n, IS_BAR] == 0.0:
            continue
        if book[n, LOW] <= stop if units > 0.0 else book[n, HIGH] >= stop:
            how = (BY_STOP, False, book[n, MARK], book[n, SLIP], venue.taker_fee)
            close(book, purse, fills, n, how, venue)
        elif (book[n, HIGH] > take if units > 0.0 else book[n, LOW] < take) and book[n, ENTERED] == 0.0:
            close(book, purse, fills, n, (BY_TAKE, False, take, 0.0, venue.maker_fee), venue)
    return False
