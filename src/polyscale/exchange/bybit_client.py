"""Bybit's public market data by REST -> checked frames.

In: a market, a timeframe, windows of time. Out: closed bars of the contract, funding rates, instruments.
Every row was checked by `bybit_wire`; what `bybit_http` keeps is the limit. Public data only: no key is
asked for.

Which end of a window is kept when it holds more than a page is disputed, so only aligned windows of at most a
page are asked for, and every row must lie inside. A bar that the exchange does not have is absent: a gap is a
gap.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Final, Self

import httpx2
import polars as pl

from polyscale.exchange.bybit_candle import CATEGORIES, Kline, interval_of
from polyscale.exchange.bybit_http import BybitHttp, BybitSettings
from polyscale.exchange.bybit_wire import (
    Candles,
    FundingRate,
    Instrument,
    parse_funding,
    parse_instrument,
    parse_instruments,
    parse_klines,
    parse_mark_klines,
    parse_server_time,
)
from polyscale.exchange.errors import BadRequestError, WireError
from polyscale.exchange.source import Page, Window, windows_of
from polyscale.market.bars import BAR_SCHEMA, FUNDING_SCHEMA, Market, check_bars, check_funding
from polyscale.market.errors import ConfigError
from polyscale.market.timeframe import DAY_MS, Timeframe

BYBIT_URL: Final = "https://api.bybit.com"
KNOWN_VENUES: Final = {BYBIT_URL: "bybit", "https://api-testnet.bybit.com": "bybit-testnet"}
_PAGE_BARS: Final = 1_000
_PAGE_RATES: Final = 200
_DAILY: Final = Timeframe(1_440)
_INSTRUMENTS: Final = "/v5/market/instruments-info"
_KLINES: Final = ("/v5/market/kline", parse_klines)
_MARK_KLINES: Final = ("/v5/market/mark-price-kline", parse_mark_klines)
_Source = tuple[str, Callable[[bytes | str, str, str, Timeframe], Candles]]
REFERENCES: Final[Mapping[str, tuple[str, ...]]] = {  # markets that trade whenever the exchange does
    "spot": ("BTCUSDT", "ETHUSDT"),
    "linear": ("BTCUSDT", "ETHUSDT"),
    "inverse": ("BTCUSD", "ETHUSD"),
}


class BybitClient:
    """A client of the public endpoints; use it as ``async with BybitClient() as client``.

    It is a `Source` of bars. Time is the event loop's.

    Parameters
    ----------
    base_url
        Another host is another exchange: testnet's bars are not mainnet's. Give it another ``venue``.
    venue
        The venue of every market that may be asked for.
    transport
        Seam for tests: how a request travels; None is the network.

    Every method raises an `ExchangeError` for what the exchange answers instead of data, and `ConfigError`
    for what cannot be asked.
    """

    page_bars: Final = _PAGE_BARS

    def __init__(
        self,
        base_url: str = BYBIT_URL,
        settings: BybitSettings | None = None,
        *,
        venue: str = "bybit",
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._settings = settings or BybitSettings()
        self.venue = venue
        self._http = BybitHttp(base_url, self._settings, transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def server_time_ms(self) -> int:
        """Milliseconds since 1970 by the exchange's clock; the local clock is never trusted."""
        return await self._http.get("/v5/market/time", {}, parse_server_time, "server time")

    async def klines(self, market: Market, timeframe: Timeframe, start_ms: int, end_ms: int) -> pl.DataFrame:
        """Closed bars that open at or after ``start_ms`` and close by ``end_ms`` and the server's time.

        A bar that breaks the contract is left out, as one that the exchange does not have.
        """
        return await self._joined(_KLINES, market, timeframe, start_ms, end_ms)

    async def mark_klines(
        self, market: Market, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> pl.DataFrame:
        """Closed bars of the mark price, as `klines`; volume is 0 and turnover null."""
        if market.category == "spot":
            raise ConfigError(f"mark prices need a linear or inverse market, got {market}")
        return await self._joined(_MARK_KLINES, market, timeframe, start_ms, end_ms)

    def pages(
        self, market: Market, timeframe: Timeframe, windows: Iterable[Window]
    ) -> AsyncGenerator[Page, None]:
        """Yield a page per window, in the order of the windows, while the next ones are on their way.

        At most ``concurrency`` pages are on their way or waiting to be taken. Close the generator
        (`aclosing`) if you leave it early. What had not closed when the exchange answered is cut off.
        """
        return self._pages(_KLINES, market, timeframe, windows)

    async def first_day_ms(self, market: Market, since_ms: int, until_ms: int) -> int | None:
        """Begin of the first day since ``since_ms`` with a candle on the exchange; none if it has none."""
        self._check(market, since_ms, until_ms)
        first_ms = since_ms // DAY_MS * DAY_MS
        for window in windows_of(_DAILY, first_ms, -(-until_ms // DAY_MS) * DAY_MS, self.page_bars):
            candles = await self._candles(_KLINES, market, _DAILY, window)
            if candles.starts_ms:
                return min(candles.starts_ms)
        return None

    def references(self, market: Market) -> list[Market]:
        """Markets whose bars tell whether the exchange was working, best first."""
        symbols = REFERENCES.get(market.category, ())
        return [
            Market(market.venue, market.category, symbol) for symbol in symbols if symbol != market.symbol
        ]

    async def funding(self, market: Market, start_ms: int, end_ms: int) -> pl.DataFrame:
        """Funding rates with ``start_ms <= time < end_ms``, in `FUNDING_SCHEMA`, paged from the newest back.

        The interval between payments differs by symbol and over time: none is assumed.
        """
        self._check(market, start_ms, end_ms)
        if market.category == "spot":
            raise ConfigError(f"funding needs a linear or inverse market, got {market}")
        rates: list[FundingRate] = []
        last_ms = end_ms - 1
        while last_ms >= start_ms:
            page = await self._funding_page(market, last_ms) or await self._funding_page(market, last_ms)
            if not page:  # twice: one answer may be empty by a fault
                break
            rates = [rate for rate in page if rate.time_ms >= start_ms] + rates
            last_ms = page[0].time_ms - 1
        frame = pl.DataFrame(rates, schema=["time", "funding_rate"], orient="row")
        return check_funding(frame.select(pl.col(name).cast(kind) for name, kind in FUNDING_SCHEMA.items()))

    async def instruments(self, category: str, status: str | None = None) -> list[Instrument]:
        """Every listed instrument of a category, by its cursor.

        Without ``status`` the exchange lists what trades now: delisted symbols are not in it (survivorship).
        """
        _check_category(category)
        found: list[Instrument] = []
        cursors = {""}
        params: dict[str, str | int] = {"category": category, "limit": 1_000}
        if status is not None:
            params["status"] = status
        while True:
            page = await self._http.get(
                _INSTRUMENTS,
                params,
                lambda body: parse_instruments(body, category),
                f"instruments ({category})",
            )
            found += page.instruments
            if not page.cursor:
                return found
            if page.cursor in cursors:
                raise WireError(
                    f"instruments ({category}): a cursor must not come again, got {page.cursor[:60]!r} "
                    f"twice; try again"
                )
            cursors.add(page.cursor)
            params["cursor"] = page.cursor

    async def instrument(self, market: Market) -> Instrument:
        """One market, as the exchange lists it now.

        Raises
        ------
        BadRequestError
            If it does not: there never was such a market, or it was delisted.
        """
        self._check(market, 0, 0)
        found = await self._http.get(
            _INSTRUMENTS,
            {"category": market.category, "symbol": market.symbol},
            lambda body: parse_instrument(body, market.category, market.symbol),
            f"{market} instrument",
        )
        if found is None:
            raise BadRequestError(
                f"{market}: the exchange must list it as trading now, got no such instrument; check the "
                f"symbol and its category, or whether it was delisted"
            )
        return found

    async def _joined(
        self, source: _Source, market: Market, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> pl.DataFrame:
        self._check(market, start_ms, end_ms)
        interval_of(timeframe)
        windows = windows_of(timeframe, start_ms, min(end_ms, await self.server_time_ms()), self.page_bars)
        async with aclosing(self._pages(source, market, timeframe, windows)) as pages:
            return pl.concat([BAR_SCHEMA.to_frame(), *[page.bars async for page in pages]])

    async def _pages(
        self, source: _Source, market: Market, timeframe: Timeframe, windows: Iterable[Window]
    ) -> AsyncGenerator[Page, None]:
        """Pages in order of time; what waits or fails is cancelled when the generator ends."""
        self._check(market, 0, 0)
        interval_of(timeframe)
        tasks: deque[asyncio.Task[Page]] = deque()
        try:
            for window in windows:
                tasks.append(asyncio.create_task(self._page(source, market, timeframe, window)))
                if len(tasks) == self._settings.concurrency:
                    yield await tasks.popleft()
            while tasks:
                yield await tasks.popleft()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _page(self, source: _Source, market: Market, timeframe: Timeframe, window: Window) -> Page:
        """One page, asked for once more if a row in it breaks a rule: that may be a fault of the way.

        What had not closed when the exchange answered, by its own clock, is no part of the page.
        """
        candles = await self._candles(source, market, timeframe, window)
        if candles.rejected:
            candles = await self._candles(source, market, timeframe, window)
        assert candles.time_ms is not None, "an answer of Bybit tells its time"
        last_ms = min(window.last_ms, timeframe.floor_ms(candles.time_ms) - timeframe.ms)
        rows = [row for row in candles.rows if row.start_ms <= last_ms]
        rejected = [row for row in candles.rejected if row.start_ms <= last_ms]
        return Page(Window(window.first_ms, last_ms), to_bars(rows, timeframe), rejected)

    async def _candles(
        self, source: _Source, market: Market, timeframe: Timeframe, window: Window
    ) -> Candles:
        path, parse = source
        asked = f"{market} {timeframe}"
        params: dict[str, str | int] = {
            "category": market.category,
            "symbol": market.symbol,
            "interval": interval_of(timeframe),
            "start": window.first_ms,
            "end": window.last_ms,
            "limit": window.num_bars(timeframe),
        }
        candles = await self._http.get(
            path, params, lambda body: parse(body, market.category, market.symbol, timeframe), asked
        )
        for start_ms in candles.starts_ms:
            if not window.first_ms <= start_ms <= window.last_ms:
                raise WireError(
                    f"{asked}: every start must lie in the window {window.first_ms} .. {window.last_ms} that "
                    f"was asked for, got {start_ms}; nothing of this answer is used; try again"
                )
        return candles

    async def _funding_page(self, market: Market, last_ms: int) -> list[FundingRate]:
        asked = f"{market} funding"
        params: dict[str, str | int] = {
            "category": market.category,
            "symbol": market.symbol,
            "endTime": last_ms,  # startTime alone is an error; both together keep a disputed end
            "limit": _PAGE_RATES,
        }
        page = await self._http.get(
            "/v5/market/funding/history",
            params,
            lambda body: parse_funding(body, market.category, market.symbol),
            asked,
        )
        if page and page[-1].time_ms > last_ms:
            raise WireError(
                f"{asked}: every time must be <= {last_ms} that was asked for, got {page[-1].time_ms}; "
                f"nothing of this answer is used; try again"
            )
        return page

    def _check(self, market: Market, start_ms: int, end_ms: int) -> None:
        _check_category(market.category)
        if market.venue != self.venue:
            raise ConfigError(
                f"the venue must be the client's own, {self.venue!r}, got {market}; use another client"
            )
        symbol = market.symbol
        if not symbol.isprintable() or not symbol or symbol != symbol.upper() or " " in symbol:
            raise ConfigError(f"symbol must be one word in upper case such as BTCUSDT, got {symbol!r}")
        if not 0 <= start_ms <= end_ms:
            raise ConfigError(f"must ask for 0 <= start_ms <= end_ms, got {start_ms} and {end_ms}")


def bybit_url() -> str:
    """Where Bybit is: the address in the environment's POLYSCALE_BYBIT_URL, else its own."""
    return os.environ.get("POLYSCALE_BYBIT_URL") or BYBIT_URL


def venue_of(base_url: str) -> str:
    """The name of the market places that are known by their address; `ConfigError` for another address."""
    try:
        return KNOWN_VENUES[base_url.rstrip("/")]
    except KeyError as error:
        raise ConfigError(
            f"the address must be one of {list(KNOWN_VENUES)} for its bars to have a name, got {base_url!r}; "
            f"give the venue under which they are to be kept"
        ) from error


def to_bars(rows: Sequence[Kline], timeframe: Timeframe) -> pl.DataFrame:
    """Closed candles, ascending, as a frame of the contract."""
    frame = pl.DataFrame(rows, schema=["start_ms", *list(BAR_SCHEMA)[1:]], orient="row")
    frame = frame.with_columns(close_time=pl.col("start_ms") + timeframe.ms)
    return check_bars(frame.select(pl.col(name).cast(kind) for name, kind in BAR_SCHEMA.items()), timeframe)


def _check_category(category: str) -> None:
    if category not in CATEGORIES:
        raise ConfigError(f"category must be one of {list(CATEGORIES)}, got {category!r}")
