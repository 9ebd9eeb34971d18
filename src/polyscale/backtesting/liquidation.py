"""The end of an account: the venue closes everything.

In: the book. Out: the book flat and rows of the fills. An account cannot lose more than it holds.
"""

from __future__ import annotations

from polyscale.backtesting.book import (
    BY_LIQUIDATION,
    CASH,
    HELD,
    MARK,
    SLIP,
    START,
    Floats,
    Venue,
    compiled,
    equity_of,
    gross_of,
    inlined,
)
from polyscale.backtesting.fills import fill


@inlined
def liquidate_at_open(book: Floats, purse: Floats, fills: Floats, venue: Venue) -> bool:
    """Close the account if the open finds less than the margin; whether it did."""
    gross = gross_of(book)
    if gross == 0.0 or equity_of(book, purse) > venue.maintenance * gross:
        return False
    liquidate(book, purse, fills, True, venue.taker_fee)
    return True


@compiled
def mark_liquidation(book: Floats, purse: Floats, maintenance: float) -> None:
    """Move marks from the worst prices back towards the opens, to where the margin is just met."""
    at_worst = equity_of(book, purse) - maintenance * gross_of(book)
    at_open = purse[CASH]
    for n in range(len(book)):
        at_open += (book[n, HELD] - maintenance * abs(book[n, HELD])) * book[n, START]
    share = min(max(at_open / (at_open - at_worst), 0.0), 1.0) if at_open > at_worst else 1.0
    for n in range(len(book)):
        book[n, MARK] = book[n, START] + share * (book[n, MARK] - book[n, START])


@compiled
def liquidate(book: Floats, purse: Floats, fills: Floats, at_open: bool, fee: float) -> None:
    """Close everything at the marks.

    Where a gap leaves less than nothing, the venue takes the positions over at bankruptcy prices, at which
    cash after fees is 0: an account cannot lose more than it holds.
    """
    left, gross, net = purse[CASH], 0.0, 0.0
    for n in range(len(book)):
        value, slip = book[n, HELD] * book[n, MARK], book[n, SLIP]
        left += value - abs(value) * slip - fee * (abs(value) - value * slip)
        gross, net = gross + abs(value), net + value
    if left < 0.0:
        shift = -(purse[CASH] + net - fee * gross) / (gross - fee * net)
        for n in range(len(book)):
            book[n, MARK] *= 1.0 + (shift if book[n, HELD] > 0.0 else -shift)
            book[n, SLIP] = 0.0
    for n in range(len(book)):
        if book[n, HELD] != 0.0:
            how = (BY_LIQUIDATION, at_open, book[n, MARK], book[n, SLIP], fee)
            fill(book, purse, fills, n, 0.0, how)
