"""Public candles of any exchange that ccxt reads -> pages of checked bars: a `Source` beside `BybitClient`.

In: a market, a timeframe, windows of time. Out: closed bars of the contract; turnover is null, for ccxt gives
none. REST only.

What differs between exchanges is held in check here. A page may be capped at either end: what is left of its
window is asked for again. It may hold rows of another time: they are dropped. Its newest candle may be
forming: the exchange's time says what has closed, and where it tells none, the newest candle of its main
markets does; the local clock is never asked. How far back an exchange's candles reach is not known: what it
does not give is absent, and never laid to an outage.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import Final, Self

from polyscale.exchange.bybit_client import to_bars
from polyscale.exchange.bybit_wire import Candles, Rejected
from polyscale.exchange.ccxt_exchange import CcxtExchange, CcxtSettings
from polyscale.exchange.ccxt_markets import (
    CcxtMarket,
    main_markets,
    market_of_stored,
    market_of_word,
    markets_of,
    volume_unit,
)
from polyscale.exchange.ccxt_rows import Row, read_rows, rows_in, uncovered
from polyscale.exchange.source import Page, Window, windows_of
from polyscale.exchange.wire_fields import check_time_ms, refused
from polyscale.market.bars import Market
from polyscale.market.errors import ConfigError
from polyscale.market.instant import time_of
from polyscale.market.timeframe import DAY_MS, Timeframe

_DAILY: Final = Timeframe(1_440)
_EVER: Final = Window(946_684_800_000, 4_102_444_800_000)  # 2000-01-01 to 2100-01-01


class CcxtSource:
    """A source of bars; use it as ``async with CcxtSource("kraken") as source``.

    Parameters
    ----------
    exchange
        The exchange's id in ccxt; it is the venue of its markets.
    url
        Another address in place of all of the exchange's, such as a played one's.
    venue
        Another name, for the bars of another address.

    Raises
    ------
    ConfigError
        If the package ccxt is missing, knows no such exchange, or gives no candles of it.

    Every method raises an `ExchangeError` for what the exchange answers instead of data, and `ConfigError`
    for what cannot be asked.
    """

    def __init__(
        self,
        exchange: str,
        settings: CcxtSettings | None = None,
        *,
        url: str | None = None,
        venue: str | None = None,
    ) -> None:
        self.venue = venue or exchange
        self._exchange = CcxtExchange(exchange, settings or CcxtSettings(), url)
        self._markets: list[CcxtMarket] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._exchange.close()

    @property
    def page_bars(self) -> int:
        """The most bars of a window: 1000, or what the exchange gives at once."""
        return self._exchange.page_bars

    async def market_of(self, word: str) -> Market:
        """The market that a person means: ``BTC/USDT``, ``BTC/USDT:USDT``, or the exchange's own id.

        Its symbol is the exchange's id in upper case, its category spot, linear or inverse.

        Raises
        ------
        BadRequestError
            If the exchange lists none, or several: names them.
        """
        found = market_of_word(await self._listed(), word, self.venue)
        return Market(self.venue, found.category, found.stored)

    async def server_time_ms(self) -> int:
        """Milliseconds since 1970 that the exchange's clock has reached.

        Where the exchange does not tell its time, the start of the newest candle of its main markets: what
        closed by then has closed, and that candle itself is in no page.
        """
        if self._exchange.tells_time:
            return check_time_ms(f"{self.venue}: server time", await self._exchange.time())
        starts_ms: list[int] = []
        for market in main_markets(await self._listed()):
            asked = f"{self.venue}: newest candle of {market.symbol}"
            answer = await self._exchange.candles(asked, market.symbol, self._exchange.finest)
            starts_ms += [row[0] for row in rows_in(asked, answer, _EVER)]
        if not starts_ms:
            raise refused(f"{self.venue}: server time", "a main market must have a candle", None)
        return max(starts_ms)

    async def pages(
        self, market: Market, timeframe: Timeframe, windows: Iterable[Window]
    ) -> AsyncGenerator[Page, None]:
        """Yield a page per window, one after the other: ccxt holds the exchange's rate.

        Every bar that is asked for must have closed by the server's time.
        """
        found = await self._found(market)
        unit = volume_unit(self._exchange.name, found)
        self._exchange.check(timeframe)
        for window in windows:
            candles = await self._candles(found, timeframe, window, unit)
            if candles.rejected:  # that may be a fault of the way
                candles = await self._candles(found, timeframe, window, unit)
            if candles.rejected and not candles.rows:
                self._refuse_other_grid(market, timeframe, candles.rejected)
            yield Page(window, to_bars(candles.rows, timeframe), candles.rejected)

    async def first_day_ms(self, market: Market, since_ms: int, until_ms: int) -> int | None:
        """Begin of the first day since ``since_ms`` with a candle that the exchange still gives.

        None if there is none; ``since_ms`` itself if it keeps no daily candles, which tells nothing.
        """
        found = await self._found(market)
        first_ms = since_ms // DAY_MS * DAY_MS
        if not self._exchange.keeps(_DAILY):
            return first_ms
        for window in windows_of(_DAILY, first_ms, -(-until_ms // DAY_MS) * DAY_MS, self.page_bars):
            rows = await self._rows(found, _DAILY, window)
            if rows:
                return min(row[0] for row in rows) // DAY_MS * DAY_MS
        return None

    def _refuse_other_grid(self, market: Market, timeframe: Timeframe, rejected: list[Rejected]) -> None:
        """Candles that begin at other times than ours are none of this timeframe: no bar is absent for it."""
        if all(row.start_ms != timeframe.floor_ms(row.start_ms) for row in rejected):
            raise ConfigError(
                f"{market}: bars of {timeframe} must begin on the grid in UTC, got starts such as "
                f"{time_of(rejected[0].start_ms)}; fetch a finer timeframe and resample it"
            )

    async def instrument(self, market: Market) -> CcxtMarket:
        """A market as the exchange lists it; `BadRequestError` if it does not."""
        return await self._found(market)

    def references(self, market: Market) -> list[Market]:
        """None: an empty page of a main market may lie before what the exchange still gives."""
        return []

    async def _candles(
        self, market: CcxtMarket, timeframe: Timeframe, window: Window, unit: float
    ) -> Candles:
        rows = await self._rows(market, timeframe, window)
        return read_rows(self._asked(market, timeframe), rows, timeframe, unit)

    async def _rows(self, market: CcxtMarket, timeframe: Timeframe, window: Window) -> list[Row]:
        """Every row of a window, however few of them come at once."""
        asked, word = self._asked(market, timeframe), str(timeframe)
        rows: list[Row] = []
        parts = [window]
        while parts:
            part = parts.pop()
            ends = (part.first_ms, part.num_bars(timeframe))
            came = rows_in(asked, await self._exchange.candles(asked, market.symbol, word, *ends), part)
            if came:
                rows += came
                parts += uncovered(came, part, timeframe)
        return rows

    def _asked(self, market: CcxtMarket, timeframe: Timeframe) -> str:
        return f"candles {timeframe} of {self.venue} {market.symbol}"

    async def _listed(self) -> list[CcxtMarket]:
        """The exchange's markets, asked for once."""
        if self._markets is None:
            listed = await self._exchange.markets()
            self._markets = markets_of(listed, sizes_in_steps=self._exchange.sizes_in_steps)
        return self._markets

    async def _found(self, market: Market) -> CcxtMarket:
        if market.venue != self.venue:
            raise ConfigError(
                f"the venue must be the source's own, {self.venue!r}, got {market}; use another source"
            )
        return market_of_stored(await self._listed(), market, str(market))
