"""Bybit's public market data by REST -> checked frames.

In: a market, a timeframe, a span of time. Out: closed bars of the contract, funding rates, instruments. Every
row was checked by `bybit_wire`; what `bybit_http` keeps is the limit. Public data only: no key is asked for.

Which end of a window is kept when it holds more than a page is disputed, so only aligned windows of at most a
page are asked for, and every row must lie inside. A bar that the exchange does not have is absent: a gap is a
gap.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Final, NamedTuple, Self

import httpx2
import polars as pl

from polyscale.exchange.bybit_errors import WireError
from polyscale.exchange.bybit_http import BybitHttp, BybitSettings
from polyscale.exchange.bybit_wire import (
    CATEGORIES,
    FundingRate,
    Instrument,
    Kline,
    interval_of,
    parse_funding,
    parse_instruments,
    parse_klines,
    parse_mark_klines,
    parse_server_time,
)
from polyscale.market.bars import BAR_SCHEMA, FUNDING_SCHEMA, Market, check_bars, check_funding
from polyscale.market.errors import ConfigError
from polyscale.market.timeframe import Timeframe

BYBIT_URL: Final = "https://api.bybit.com"
PAGE_BARS: Final = 1_000
_PAGE_RATES: Final = 200
_KLINES: Final = ("/v5/market/kline", parse_klines)
_MARK_KLINES: Final = ("/v5/market/mark-price-kline", parse_mark_klines)
_Source = tuple[str, Callable[[bytes | str, str, str, Timeframe], list[Kline]]]


class Window(NamedTuple):
    """Starts of a run of bars on the grid, both ends included."""

    first_ms: int
    last_ms: int


class BybitClient:
    """A client of the public endpoints; use it as ``async with BybitClient() as client``.

    Parameters
    ----------
    base_url
        Another host is another exchange: testnet's bars are not mainnet's. Give it another ``venue``.
    venue
        The venue of every market that may be asked for.
    transport, clock, sleep
        Seams for tests: how a request travels, monotonic seconds, how to wait.

    Every method raises an `ExchangeError` for what the exchange answers instead of data, and `ConfigError`
    for what cannot be asked.
    """

    def __init__(
        self,
        base_url: str = BYBIT_URL,
        settings: BybitSettings | None = None,
        *,
        venue: str = "bybit",
        transport: httpx2.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._settings = settings or BybitSettings()
        self._venue = venue
        self._http = BybitHttp(base_url, self._settings, transport, clock, sleep)

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
        """Closed bars of the whole span in one frame; see `kline_pages`."""
        return await _joined(self.kline_pages(market, timeframe, start_ms, end_ms))

    async def mark_klines(
        self, market: Market, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> pl.DataFrame:
        """Closed bars of the mark price, as `klines`; volume is 0 and turnover null."""
        if market.category == "spot":
            raise ConfigError(f"mark prices need a linear or inverse market, got {market}")
        return await _joined(self._pages(_MARK_KLINES, market, timeframe, start_ms, end_ms))

    def kline_pages(
        self, market: Market, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> AsyncGenerator[pl.DataFrame, None]:
        """Yield closed bars in frames of `BAR_SCHEMA`, oldest first; a page without bars is an empty frame.

        Bars that open at or after ``start_ms`` and close at or before ``end_ms`` and the server's time. At
        most ``concurrency`` pages are on their way or waiting to be taken. Close the generator (`aclosing`)
        if you leave it early.
        """
        return self._pages(_KLINES, market, timeframe, start_ms, end_ms)

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
            page = await self._funding_page(market, last_ms)
            if not page:
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
                "/v5/market/instruments-info",
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

    async def _pages(
        self, source: _Source, market: Market, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> AsyncGenerator[pl.DataFrame, None]:
        """Pages in order of time; what waits or fails is cancelled when the generator ends."""
        self._check(market, start_ms, end_ms)
        interval_of(timeframe)
        windows = windows_of(timeframe, start_ms, min(end_ms, await self.server_time_ms()))
        tasks: deque[asyncio.Task[pl.DataFrame]] = deque()
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

    async def _page(
        self, source: _Source, market: Market, timeframe: Timeframe, window: Window
    ) -> pl.DataFrame:
        path, parse = source
        asked = f"{market} {timeframe}"
        params: dict[str, str | int] = {
            "category": market.category,
            "symbol": market.symbol,
            "interval": interval_of(timeframe),
            "start": window.first_ms,
            "end": window.last_ms,
            "limit": (window.last_ms - window.first_ms) // timeframe.ms + 1,
        }
        rows = await self._http.get(
            path, params, lambda body: parse(body, market.category, market.symbol, timeframe), asked
        )
        for row in rows:
            if not window.first_ms <= row.start_ms <= window.last_ms:
                raise WireError(
                    f"{asked}: every start must lie in the window {window.first_ms} .. {window.last_ms} that "
                    f"was asked for, got {row.start_ms}; nothing of this answer is used; try again"
                )
        return _to_bars(rows, timeframe)

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
        if market.venue != self._venue:
            raise ConfigError(
                f"the venue must be the client's own, {self._venue!r}, got {market}; use another client"
            )
        symbol = market.symbol
        if not symbol.isprintable() or not symbol or symbol != symbol.upper() or " " in symbol:
            raise ConfigError(f"symbol must be one word in upper case such as BTCUSDT, got {symbol!r}")
        if not 0 <= start_ms <= end_ms:
            raise ConfigError(f"must ask for 0 <= start_ms <= end_ms, got {start_ms} and {end_ms}")


def windows_of(timeframe: Timeframe, start_ms: int, end_ms: int) -> Iterator[Window]:
    """Windows of at most a page, aligned to the grid, over the bars that lie in ``[start_ms, end_ms]``."""
    step_ms, offset_ms = timeframe.ms, timeframe.offset_ms
    first_ms = offset_ms - (offset_ms - start_ms) // step_ms * step_ms
    stop_ms = offset_ms + (end_ms - offset_ms) // step_ms * step_ms  # the last close that is allowed
    for page_ms in range(first_ms, stop_ms, PAGE_BARS * step_ms):
        yield Window(page_ms, min(page_ms + PAGE_BARS * step_ms, stop_ms) - step_ms)


async def _joined(pages: AsyncGenerator[pl.DataFrame, None]) -> pl.DataFrame:
    async with aclosing(pages):
        frames = [page async for page in pages]
    return pl.concat([BAR_SCHEMA.to_frame(), *frames])


def _to_bars(rows: list[Kline], timeframe: Timeframe) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["start_ms", *list(BAR_SCHEMA)[1:]], orient="row")
    frame = frame.with_columns(close_time=pl.col("start_ms") + timeframe.ms)
    return check_bars(frame.select(pl.col(name).cast(kind) for name, kind in BAR_SCHEMA.items()), timeframe)


def _check_category(category: str) -> None:
    if category not in CATEGORIES:
        raise ConfigError(f"category must be one of {list(CATEGORIES)}, got {category!r}")
