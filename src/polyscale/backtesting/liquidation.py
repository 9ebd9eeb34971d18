"""The end of an account: the venue closes everything.

In: the book. Out: the book flat and rows of the fills. An account cannot lose more than it holds.
"""

from __future__ import annotations

from polyscale.backtesting.book import (
    BY_LIQUIDATION,
    CASH,
    HELD,
    MARK,
    START,
    Floats,
    Venue,
    compiled,
    equity_of,
    gross_of,
    slip_of,
)
from polyscale.backtesting.fills import fill


@compiled
def liquidate_at_open(book: Floats, purse: Floats, fills: Floats, venue: Venue) -> bool:
    """Close the account if the open finds less than the margin; whether it did."""
    gross = gross_of(book)
    if gross == 0.0 or equity_of(book, purse) > venue.maintenance * gross:
        return False
    liquidate(book, purse, fills, True, venue)
    return True


@compiled
def mark_liquidation(book: Floats, purse: Floats, maintenance: float) -> None:
    """Move marks from the worst prices back to where the bar goes on from, until the margin is just met."""
    at_worst = equity_of(book, purse) - maintenance * gross_of(book)
    at_open = purse[CASH]
    for n in range(len(book)):
        at_open += (book[n, HELD] - maintenance * abs(book[n, HELD])) * book[n, START]
    share = min(max(at_open / (at_open - at_worst), 0.0), 1.0) if at_open > at_worst else 1.0
    for n in range(len(book)):
        book[n, MARK] = book[n, START] + share * (book[n, MARK] - book[n, START])


@compiled
def liquidate(book: Floats, purse: Floats, fills: Floats, at_open: bool, venue: Venue) -> None:
    """Close everything at the marks.

    Where a gap leaves less than nothing, the venue takes the positions over at bankruptcy prices, at which
    cash after fees is 0: an account cannot lose more than it holds.
    """
    fee, left = venue.taker_fee, purse[CASH]
    for n in range(len(book)):
        value, slip = book[n, HELD] * book[n, MARK], slip_of(book, n, book[n, MARK], venue)
        left += value - abs(value) * slip - fee * (abs(value) - value * slip)
    is_ruin = left < -1e-12 * gross_of(book)  # by more than rounding
    if is_ruin:
        _mark_bankruptcy(book, purse[CASH], fee)
    for n in range(len(book)):
        if book[n, HELD] != 0.0:
            price = book[n, MARK]
            slip = 0.0 if is_ruin else slip_of(book, n, price, venue)
            fill(book, purse, fills, n, 0.0, (BY_LIQUIDATION, at_open, price, slip, fee))


@compiled
def _mark_bankruptcy(book: Floats, cash: float, fee: float) -> None:
    """Move all marks for us by one share, shorts to 0 at most, to where cash after fees is 0."""
    longs, shorts = 0.0, 0.0
    for n in range(len(book)):
        value = book[n, HELD] * book[n, MARK]
        longs, shorts = longs + max(value, 0.0), shorts - min(value, 0.0)
    lacking = shorts * (1.0 + fee) - longs * (1.0 - fee) - cash
    shift = lacking / (shorts * (1.0 + fee) + longs * (1.0 - fee))
    if shift > 1.0:
        shift = -cash / (longs * (1.0 - fee)) - 1.0
    for n in range(len(book)):
        book[n, MARK] *= 1.0 + shift if book[n, HELD] > 0.0 else max(1.0 - shift, 0.0)
