"""Bybit's public klines as they close: every bar once, in order, none missing, whatever the connection does.

In: series, each with the first bar that is wanted. Out: an asynchronous generator of events: a bar that
closed, a revision of one that was given out, a hole that the exchange says it has. Pushed candles come by
WebSocket; what a push did not bring comes by REST. Time is the event loop's, and the exchange's own, as its
messages tell it; the local clock is never asked.

    async with BybitClient() as client, aclosing(BybitStream(client).events({(btc, m1): None})) as events:
        async for event in events:
            ...
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final

from aiolimiter import AsyncLimiter
from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from polyscale.exchange.bar_sequence import BarSequence, ClosedBar, Event, Hole, Revision
from polyscale.exchange.bybit_candle import CATEGORIES, interval_of
from polyscale.exchange.bybit_client import BYBIT_URL, BybitClient
from polyscale.exchange.bybit_connection import BybitConnection, backoff_s, in_connections, leaf_of
from polyscale.exchange.bybit_series import BybitSeries
from polyscale.exchange.bybit_stream_wire import CandlePush, topic_of
from polyscale.exchange.errors import BusyError, WireError
from polyscale.exchange.server_clock import ServerClock
from polyscale.exchange.stream_settings import StreamCounts, StreamSettings
from polyscale.exchange.wire_fields import refused
from polyscale.market.bars import Market
from polyscale.market.errors import ConfigError
from polyscale.market.timeframe import Timeframe

__all__ = ["BybitStream", "ClosedBar", "Event", "Hole", "Revision", "StreamCounts", "StreamSettings"]

STREAM_URL: Final = "wss://stream.bybit.com"
_STREAM_URLS: Final = {
    BYBIT_URL: STREAM_URL,
    "https://api-testnet.bybit.com": "wss://stream-testnet.bybit.com",
}


class BybitStream:
    """The stream of the exchange that ``client`` asks; `counts` tells how it goes.

    Parameters
    ----------
    client
        Brings what the stream misses; it must be of the same exchange, and stay open.
    url
        Scheme and host; another host is another exchange.
    """

    def __init__(
        self, client: BybitClient, url: str = STREAM_URL, settings: StreamSettings | None = None
    ) -> None:
        self._client = client
        self._url = _checked_url(url)
        self._settings = settings or StreamSettings()
        self.counts = StreamCounts()

    def events(self, series: Mapping[tuple[Market, Timeframe], int | None]) -> AsyncGenerator[Event, None]:
        """Follow the series until the generator is closed (`aclosing`); a slow reader misses nothing.

        Parameters
        ----------
        series
            To the start of the first bar wanted, in ms on the timeframe's grid: what has closed since comes
            at once, by REST. None is the bar that is forming now.

        Raises
        ------
        ConfigError
            At once, for what cannot be followed.
        ExchangeError
            From the generator, after all events before it, for what another try would meet again: a
            `BadRequestError` for an unknown symbol, `RegionError`, `BannedError`. Connections that are lost
            and a busy exchange are none.
        """
        if not series:
            raise ConfigError("series must hold at least one market and timeframe, got none")
        for (market, timeframe), start_ms in series.items():
            self._check(market, timeframe, start_ms)
        return self._events(dict(series))

    async def _events(
        self, series: Mapping[tuple[Market, Timeframe], int | None]
    ) -> AsyncGenerator[Event, None]:
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        running = asyncio.create_task(self._run(series, queue.put_nowait))
        running.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
            raise _error_of(running)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def _run(
        self, series: Mapping[tuple[Market, Timeframe], int | None], emit: Callable[[Event], None]
    ) -> None:
        """All tasks of the stream, which end together."""
        clock = await self._first_clock()
        slots = asyncio.Semaphore(self._settings.concurrency)
        turn = AsyncLimiter(1, self._settings.min_connect_gap_s)
        followed: dict[str, dict[str, BybitSeries]] = {category: {} for category in CATEGORIES}
        for (market, timeframe), start_ms in series.items():
            sequence = self._sequence(market, timeframe, start_ms, clock)
            one = BybitSeries(sequence, self._client, clock, self._settings, self.counts, slots, emit)
            followed[market.category][topic_of(market.symbol, interval_of(timeframe))] = one
        async with asyncio.TaskGroup() as tasks:
            for category, by_topic in followed.items():
                for topics in in_connections(list(by_topic), self._settings.max_topic_characters):
                    connection = self._connection(category, {t: by_topic[t] for t in topics}, clock, turn)
                    tasks.create_task(connection.keep())
                for one in by_topic.values():
                    one.catch_up()
                    tasks.create_task(one.run())

    def _sequence(
        self, market: Market, timeframe: Timeframe, start_ms: int | None, clock: ServerClock
    ) -> BarSequence:
        if start_ms is None:
            now_ms = int(clock.now_ms())
            start_ms = now_ms - (now_ms - timeframe.offset_ms) % timeframe.ms
        return BarSequence(market, timeframe, start_ms, self._settings.gap_patience_s)

    def _connection(
        self, category: str, by_topic: Mapping[str, BybitSeries], clock: ServerClock, turn: AsyncLimiter
    ) -> BybitConnection:
        async def renew() -> None:
            with suppress(BusyError, WireError, TimeoutError):  # the clock that is held goes on
                async with asyncio.timeout(self._settings.ack_s):
                    clock.set(await self._client.server_time_ms())

        return BybitConnection(
            self._url,
            category,
            list(by_topic),
            self._settings,
            self.counts,
            turn=turn,
            receive=lambda push: _receive(push, category, by_topic, clock),
            subscribed=lambda: _catch_up(by_topic.values()),
            renew=renew,
        )

    async def _first_clock(self) -> ServerClock:
        clock = ServerClock(self._settings.max_ahead_s)
        num_failures = 0
        while True:
            try:
                clock.set(await self._client.server_time_ms())
            except BusyError:
                num_failures += 1
                await asyncio.sleep(backoff_s(num_failures, self._settings))
            else:
                return clock

    def _check(self, market: Market, timeframe: Timeframe, start_ms: int | None) -> None:
        interval_of(timeframe)
        if market.venue != self._client.venue or market.category not in CATEGORIES:
            raise ConfigError(
                f"a market must be of {self._client.venue!r} and one of {list(CATEGORIES)}, got {market}"
            )
        if start_ms is not None and (start_ms < 0 or (start_ms - timeframe.offset_ms) % timeframe.ms):
            raise ConfigError(
                f"the start of the first bar must lie on the grid of {timeframe}, in ms since 1970, got "
                f"{start_ms} for {market}"
            )


def stream_url_of(base_url: str) -> str:
    """Where the stream of a REST address is; for an address of one's own, the same host."""
    known = _STREAM_URLS.get(base_url.rstrip("/"))
    return known or base_url.replace("https://", "wss://").replace("http://", "ws://")


def _checked_url(url: str) -> str:
    try:
        parse_uri(url)
    except InvalidURI as error:
        raise ConfigError(f"url must be ws(s) and a host, such as {STREAM_URL}, got {url!r}") from error
    return url.rstrip("/")


def _error_of(running: asyncio.Task[None]) -> BaseException:
    """What ended the stream, out of the groups of its tasks."""
    error = running.exception()
    assert error is not None, "the stream's tasks never return"
    return leaf_of(error) if isinstance(error, BaseExceptionGroup) else error


def _receive(
    push: CandlePush, category: str, by_topic: Mapping[str, BybitSeries], clock: ServerClock
) -> None:
    topic = topic_of(push.symbol, interval_of(push.timeframe))
    if topic not in by_topic:
        raise refused(f"{category} stream", "a topic must have been subscribed to", topic)
    clock.observe(topic, push.ts_ms)
    by_topic[topic].receive(push)


def _catch_up(all_series: Iterable[BybitSeries]) -> None:
    for one in all_series:
        one.catch_up()
