"""An exchange with a stream on loopback: one-minute candles by REST and WebSocket, and faults to order."""

import asyncio
import json
from contextlib import aclosing, asynccontextmanager

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from polyscale.exchange.bybit_stream import BybitStream, ClosedBar, StreamSettings
from polyscale.exchange.bybit_wire import parse_klines
from polyscale.market.timeframe import Timeframe
from tests.exchange.bybit_answers import (
    BTC,
    FIRST_MS,
    MINUTE_MS,
    FakeBybit,
    candle,
    client_of,
    kline_answer,
    ok,
)

M1 = Timeframe(1)
PUSH_MS = 20_000
SERIES = {(BTC, M1): None}
PONG = {"success": True, "ret_msg": "pong", "conn_id": "c", "req_id": "", "op": "ping"}


def push(start_ms, ts_ms, *, confirm, row=None, topic="kline.1.BTCUSDT", **changes):
    """A message of one candle."""
    names = ("open", "high", "low", "close", "volume", "turnover")
    numbers = dict(zip(names, (row or candle(start_ms))[1:], strict=True))
    times = {"start": start_ms, "end": start_ms + MINUTE_MS - 1, "interval": "1", "timestamp": ts_ms}
    data = {**times, **numbers, "confirm": confirm, **changes}
    return json.dumps({"type": "snapshot", "topic": topic, "data": [data], "ts": ts_ms})


def at(i):
    """The start of a minute."""
    return FIRST_MS + i * MINUTE_MS


def kline(i, row=None):
    """The candle of a minute, as it is given out."""
    return parse_klines(kline_answer(row or candle(at(i))), "linear", "BTCUSDT", M1).rows[0]


def bars(first, last, market=BTC):
    """Events of a run of minutes."""
    return [ClosedBar(market, M1, kline(i)) for i in range(first, last + 1)]


def after_s(seconds, do):
    """To be run beside a stream."""

    async def wait():
        await asyncio.sleep(seconds)
        do()

    return wait


class FakeStream(FakeBybit):
    """Its clock is the loop's, from ``FIRST_MS`` on; every 20 s each topic is pushed.

    ``acks`` and ``handshakes`` answer the next ones in turn, None as usual: an ack may be a message or ""
    (silence), a handshake a status and a text. ``unconfirmed`` starts are never pushed as closed, ``late``
    ones after so many seconds, ``doubled`` ones twice; ``revised`` gives rows that REST has instead.
    ``greetings`` are sent after a subscription.
    """

    def __init__(self, faults=(), missing=(), acks=(), handshakes=()):
        super().__init__(FIRST_MS, faults, missing)
        self.ahead_ms = 0
        self.acks, self.handshakes = list(acks), list(handshakes)
        self.unconfirmed, self.late, self.doubled = set(), {}, set()
        self.revised, self.greetings, self.pong = {}, [], PONG
        self.sockets, self.muted, self.requests, self.connected_s = set(), set(), [], []

    @property
    def now_ms(self):
        return FIRST_MS + self.ahead_ms + int(1_000 * asyncio.get_running_loop().time())

    @now_ms.setter
    def now_ms(self, _):
        """Follows the loop."""

    def candles(self, params):
        first, last = int(params["start"]), int(params["end"])
        starts = [at for at in range(first, last + 1, MINUTE_MS) if at <= self.now_ms]
        rows = [self.revised.get(at, candle(at)) for at in reversed(starts) if at not in self.missing]
        market = {"category": params["category"], "symbol": params["symbol"]}
        return ok(kline_answer(*rows, **market, time_ms=self.now_ms))

    @asynccontextmanager
    async def serving(self):
        """Give the address of the stream."""
        async with serve(
            self._talk, "127.0.0.1", 0, process_request=self._greet, close_timeout=0.1
        ) as server:
            yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    def drop(self):
        """Cut every connection."""
        for socket in self.sockets:
            socket.transport.abort()

    def stall(self):
        """Let every connection stand, but say nothing more on it."""
        self.muted |= self.sockets

    def _greet(self, connection, request):
        self.connected_s.append(asyncio.get_running_loop().time())
        status, text = (self.handshakes.pop(0) if self.handshakes else None) or (None, "")
        return connection.respond(status, text) if status else None

    async def _talk(self, socket):
        self.sockets.add(socket)
        topics = []
        ticking = asyncio.create_task(self._tick(socket, topics))
        try:
            async for text in socket:
                request = json.loads(text)
                self.requests.append(request)
                if request["op"] == "ping":
                    await self._send(socket, json.dumps(self.pong))
                    continue
                ack = {"success": True, "ret_msg": "", "req_id": request["req_id"], "op": "subscribe"}
                ordered = self.acks.pop(0) if self.acks else None
                ack = ack if ordered is None else ordered
                if ack:
                    topics += request["args"]
                    for message in [json.dumps(ack), *self.greetings]:
                        await self._send(socket, message)
        except ConnectionClosed:
            pass
        finally:
            ticking.cancel()
            self.sockets.discard(socket)

    async def _tick(self, socket, topics):
        while True:
            await asyncio.sleep((PUSH_MS - self.now_ms % PUSH_MS) / 1_000)
            for topic in list(topics):
                now_ms = self.now_ms
                start_ms = now_ms // MINUTE_MS * MINUTE_MS
                closed_ms = start_ms - MINUTE_MS
                if now_ms < start_ms + PUSH_MS and closed_ms not in self.unconfirmed | self.late.keys():
                    for _ in range(2 if closed_ms in self.doubled else 1):
                        await self._send(socket, push(closed_ms, now_ms, confirm=True, topic=topic))
                for late_ms in [at for at, s in self.late.items() if at + MINUTE_MS + 1_000 * s <= now_ms]:
                    del self.late[late_ms]
                    await self._send(socket, push(late_ms, now_ms, confirm=True, topic=topic))
                await self._send(socket, push(start_ms, now_ms, confirm=False, topic=topic))

    async def _send(self, socket, message):
        if socket not in self.muted:
            await socket.send(message)


async def follow(fake, num_events, series=None, during=None, **settings):
    """The first events of a stream, and what it counted; ``during`` runs beside it."""
    async with asyncio.timeout(10_000), fake.serving() as url, client_of(fake.answer) as client:
        stream = BybitStream(client, url, StreamSettings(**settings))
        beside = asyncio.create_task(during()) if during else None
        events = []
        async with aclosing(stream.events(series or SERIES)) as coming:
            async for event in coming:
                events.append(event)
                if len(events) == num_events:
                    break
        if beside:
            await beside
        return events, stream.counts


@asynccontextmanager
async def opened(fake, answer_rest=None):
    """The events of a stream, to be taken one by one."""
    async with (
        asyncio.timeout(10_000),
        fake.serving() as url,
        client_of(answer_rest or fake.answer) as client,
        aclosing(BybitStream(client, url).events(SERIES)) as coming,
    ):
        yield coming
