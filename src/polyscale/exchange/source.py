"""What every source of bars can do, whichever exchange stands behind it.

In: a market, a timeframe and windows on its grid. Out: pages of closed, checked bars. `BybitClient` is one
source, `CcxtSource` another; who fetches knows neither.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import polars as pl

from polyscale.market.bars import Market
from polyscale.market.order_rules import OrderRules
from polyscale.market.timeframe import Timeframe


class Window(NamedTuple):
    """Starts of a run of bars on the grid, both ends included."""

    first_ms: int
    last_ms: int

    def num_bars(self, timeframe: Timeframe) -> int:
        """How many bars it holds, 0 for one that ends before it begins."""
        return max((self.last_ms - self.first_ms) // timeframe.ms + 1, 0)


class RejectedBar(Protocol):
    """A bar that may not be used: when it began, the rule that it broke, and what came."""

    @property
    def start_ms(self) -> int:
        """When it began."""

    @property
    def reason(self) -> str:
        """The rule and the value."""

    @property
    def raw(self) -> str:
        """What came."""


class Page(NamedTuple):
    """All that a source has of a window."""

    window: Window  # the asked one, cut to what had closed where the answer tells its time; may be empty
    bars: pl.DataFrame  # in BAR_SCHEMA, ascending
    rejected: Sequence[RejectedBar]


class Listed(Protocol):
    """A market that an exchange lists: its coins, and what it demands of orders."""

    @property
    def base_coin(self) -> str:
        """What is traded."""

    @property
    def quote_coin(self) -> str:
        """What its price is in."""

    @property
    def rules(self) -> OrderRules | None:
        """In coins; none where that is not known, as of contracts of another size."""


class Source(Protocol):
    """Where bars come from. Every method raises an `ExchangeError` for what comes instead of data."""

    venue: str

    @property
    def page_bars(self) -> int:
        """The most bars of a window."""

    async def server_time_ms(self) -> int:
        """Milliseconds since 1970 by the exchange's clock."""

    def pages(
        self, market: Market, timeframe: Timeframe, windows: Iterable[Window]
    ) -> AsyncGenerator[Page, None]:
        """A page per window, in their order."""

    async def first_day_ms(self, market: Market, since_ms: int, until_ms: int) -> int | None:
        """Begin of the first day with a candle, none if there is none."""

    async def instrument(self, market: Market) -> Listed:
        """A market as it is listed now; `BadRequestError` if it is not."""

    def references(self, market: Market) -> list[Market]:
        """Markets whose bars tell whether the exchange was working, best first."""


def windows_of(timeframe: Timeframe, start_ms: int, end_ms: int, page_bars: int) -> Iterator[Window]:
    """Windows of at most a page, aligned to the grid, over the bars that lie in ``[start_ms, end_ms]``."""
    step_ms = timeframe.ms
    stop_ms = timeframe.floor_ms(end_ms)  # the last close that is allowed
    for page_ms in range(timeframe.ceil_ms(start_ms), stop_ms, page_bars * step_ms):
        yield Window(page_ms, min(page_ms + page_bars * step_ms, stop_ms) - step_ms)
