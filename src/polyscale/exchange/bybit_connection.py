"""A WebSocket connection to Bybit's public stream, kept: connect, subscribe, listen, and again after a loss.

In: the topics of one category. Out: every candle that is pushed, by a callback, and a word whenever the
subscription stands. It ends only by an error that another attempt would meet again. What was missed in
between is not its business: `bybit_series` asks REST for it.

The library's own keepalive is off: the exchange wants a ping of its own kind, and any message is a sign of
life.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import count
from typing import Final, NoReturn, TypeVar

from aiolimiter import AsyncLimiter
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from polyscale.exchange.bybit_stream_wire import Ack, CandlePush, parse_message
from polyscale.exchange.errors import (
    BadRequestError,
    BusyError,
    ExchangeError,
    WireError,
    error_of_status,
    shorten,
)
from polyscale.exchange.stream_settings import StreamCounts, StreamSettings
from polyscale.exchange.wire_fields import refused

_MAX_ARGS: Final = {"spot": 10}  # topics of one request; elsewhere only their characters are limited
_QUEUE: Final = 1_024  # messages read ahead, so that a burst is one read
_E = TypeVar("_E", bound=BaseException)
_log = logging.getLogger(__name__)


class BybitConnection:
    """One connection after another, all with the same topics.

    Parameters
    ----------
    turn
        The gate through which every connection of this address goes.
    receive
        Takes each candle; a `WireError` that it raises counts the message as bad.
    subscribed
        Told whenever every topic is subscribed.
    renew
        Awaited after a loss, before the next attempt.
    """

    def __init__(
        self,
        url: str,
        category: str,
        topics: Sequence[str],
        settings: StreamSettings,
        counts: StreamCounts,
        *,
        turn: AsyncLimiter,
        receive: Callable[[CandlePush], None],
        subscribed: Callable[[], None],
        renew: Callable[[], Awaitable[None]],
    ) -> None:
        self._url, self._category, self._topics = f"{url}/v5/public/{category}", category, topics
        self._settings, self._counts = settings, counts
        self._turn, self._receive, self._subscribed, self._renew = turn, receive, subscribed, renew
        self._asked = f"{category} stream"
        self._req_ids = count(1)
        self._pending: tuple[str, asyncio.Future[Ack]] | None = None
        self._has_connected = False
        self._stood_at_s: float | None = None  # since when the subscription stands
        self._heard_s = self._pushed_s = 0.0  # when the last message and the last sound candle came
        self._num_bad = 0  # since then

    async def keep(self) -> NoReturn:
        """Stay connected.

        Raises
        ------
        ExceptionGroup
            Of what is final: a topic that the exchange does not know, a region, a ban, a wrong address.
        """
        num_failures = 0
        while True:
            await self._turn.acquire()
            self._stood_at_s = None
            reason = ""
            try:
                await self._connect_and_listen()
            except* BusyError as lost:
                reason = str(leaf_of(lost))
            self._counts.num_losses += 1
            num_failures = 1 if self._was_healthy() else num_failures + 1
            wait_s = backoff_s(num_failures, self._settings)
            _log.warning("%s; connecting again in %.1f s", reason, wait_s)
            await asyncio.sleep(wait_s)
            await self._renew()

    async def _connect_and_listen(self) -> None:
        """One connection, from the handshake to its loss."""
        settings = self._settings
        opening = connect(
            self._url,
            ping_interval=None,
            compression=None,
            open_timeout=settings.connect_s,
            close_timeout=settings.close_s,
            max_queue=_QUEUE,
        )
        try:
            async with opening as socket, asyncio.TaskGroup() as tasks:
                self._counts.num_connects += 1
                self._has_connected = True
                self._heard_s = self._pushed_s = _now_s()
                for job in (self._read(socket), self._ping(socket), self._watch()):
                    tasks.create_task(job)
                await self._subscribe(socket)
        except* InvalidStatus as refusal:
            raise self._error_of_handshake(refusal) from refusal
        except* (WebSocketException, OSError) as lost:
            raise BusyError(f"{self._asked}: the connection must hold, got {_said(leaf_of(lost))}") from lost

    async def _subscribe(self, socket: ClientConnection) -> None:
        """Ask for every topic, each request after the answer to the one before."""
        for topics in in_requests(self._topics, self._category):
            req_id, answered = str(next(self._req_ids)), asyncio.get_running_loop().create_future()
            self._pending = (req_id, answered)
            await socket.send(json.dumps({"op": "subscribe", "req_id": req_id, "args": topics}))
            try:
                async with asyncio.timeout(self._settings.ack_s):
                    ack = await answered
            except TimeoutError as error:
                raise BusyError(
                    f"{self._asked}: a subscription must be answered within {self._settings.ack_s:g} s, got "
                    f"nothing"
                ) from error
            if not ack.success:
                raise self._error_of_refusal(ack, topics)
        self._stood_at_s = _now_s()
        _log.info("%s: subscribed to %d topics at %s", self._asked, len(self._topics), self._url)
        self._subscribed()

    async def _read(self, socket: ClientConnection) -> NoReturn:
        self._num_bad = 0
        while True:
            body = await socket.recv(decode=False)
            self._heard_s = _now_s()
            self._counts.num_messages += 1
            try:
                self._take(body)
            except WireError as error:
                self._num_bad += 1
                self._counts.num_bad_messages += 1
                level = logging.WARNING if self._num_bad == 1 else logging.DEBUG  # the first of a row tells
                _log.log(level, "message dropped: %s", error)
                if self._num_bad == self._settings.max_bad_in_a_row:
                    raise BusyError(
                        f"{self._asked}: messages must be sound, got {self._num_bad} bad ones and no sound "
                        f"candle between"
                    ) from error

    def _take(self, body: bytes) -> None:
        message = parse_message(body, self._category)
        if isinstance(message, list):
            for push in message:
                self._receive(push)
            self._pushed_s, self._num_bad = self._heard_s, 0  # no pong makes up for bad candles
        elif isinstance(message, Ack):
            self._take_ack(message)

    def _take_ack(self, ack: Ack) -> None:
        req_id, answered = self._pending or ("", None)
        if answered is None or answered.done() or ack.req_id not in ("", req_id):
            raise refused(self._asked, "an answer must belong to a question", ack)
        answered.set_result(ack)

    async def _ping(self, socket: ClientConnection) -> NoReturn:
        while True:
            await asyncio.sleep(self._settings.ping_every_s)
            await socket.send('{"op": "ping"}')

    async def _watch(self) -> NoReturn:
        """Give up a connection that has fallen silent; its socket may never tell."""
        silence_s, push_silence_s = self._settings.silence_s, self._settings.push_silence_s
        while True:
            left_s = min(self._heard_s + silence_s, self._pushed_s + push_silence_s) - _now_s()
            if left_s <= 0:
                raise BusyError(
                    f"{self._asked}: a message must come within {silence_s:g} s and a candle within "
                    f"{push_silence_s:g} s, got none"
                )
            await asyncio.sleep(left_s)

    def _was_healthy(self) -> bool:
        return self._stood_at_s is not None and _now_s() - self._stood_at_s >= self._settings.healthy_s

    def _error_of_handshake(self, refusal: BaseExceptionGroup[InvalidStatus]) -> ExchangeError:
        response = leaf_of(refusal).response
        error = error_of_status(response.status_code, bytes(response.body or b""), f"{self._asked} handshake")
        if error is None or (isinstance(error, WireError) and self._has_connected):
            return BusyError(  # a gateway in trouble: the address was right before
                f"{self._asked}: the handshake must succeed, got HTTP {response.status_code}"
            )
        return error

    def _error_of_refusal(self, ack: Ack, topics: Sequence[str]) -> BadRequestError:
        named = [topic for topic in topics if topic.removeprefix("kline") in ack.said] or list(topics)
        return BadRequestError(
            f"{self._asked}: every topic must be known to the exchange, got {shorten(ack.said)!r} for "
            f"{shorten(', '.join(named))}; check the symbol and its category"
        )


def in_connections(topics: Sequence[str], max_characters: int) -> Iterator[list[str]]:
    """Cut topics into runs whose characters, quotes and commas included, one connection may have."""
    run: list[str] = []
    num_characters = 0
    for topic in topics:
        size = len(json.dumps([topic, ""])) - len(json.dumps([""]))
        if run and num_characters + size > max_characters:
            yield run
            run, num_characters = [], 0
        run.append(topic)
        num_characters += size
    if run:
        yield run


def in_requests(topics: Sequence[str], category: str) -> Iterator[list[str]]:
    """Cut the topics of a connection into runs that one request may have."""
    size = _MAX_ARGS.get(category, len(topics))
    for first in range(0, len(topics), size):
        yield list(topics[first : first + size])


def backoff_s(num_failures: int, settings: StreamSettings) -> float:
    """How long to wait after so many failures in a row: doubled each time, capped, scattered by half."""
    longest_s = min(settings.backoff_s * 2.0 ** min(num_failures - 1, 30), settings.max_backoff_s)
    return longest_s * random.uniform(0.5, 1.0)


def leaf_of(error: BaseExceptionGroup[_E]) -> _E:
    """The first error inside a group."""
    first = error.exceptions[0]
    return leaf_of(first) if isinstance(first, BaseExceptionGroup) else first


def _said(error: BaseException) -> str:
    return f"{type(error).__name__} ({shorten(str(error))})"


def _now_s() -> float:
    return asyncio.get_running_loop().time()
