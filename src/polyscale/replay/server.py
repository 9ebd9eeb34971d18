"""The played exchange on a port: REST and WebSocket by aiohttp. A thin shell, decisions lie in `exchange`.

In: a `ReplayExchange`. Out: ``http://host:port/v5/market/...`` and ``ws://host:port/v5/public/...`` as long
as the server runs.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Final, Self

from aiohttp import web

from polyscale.exchange.bybit_candle import CATEGORIES
from polyscale.market.errors import ConfigError
from polyscale.replay.broadcast import Broadcast
from polyscale.replay.connection import Connection
from polyscale.replay.conversation import Conversation
from polyscale.replay.exchange import ReplayExchange
from polyscale.replay.pushes import Pushes

_STREAMS: Final = {f"/v5/public/{category}": category for category in CATEGORIES}


class ReplayServer:
    """Serves an exchange; use it as ``async with ReplayServer(exchange) as server``.

    Parameters
    ----------
    port
        0 takes a free one; `url` tells which.

    Attributes
    ----------
    request_times_s
        When each REST request came, time of the event loop.
    num_requests
        How many REST requests came, per path.

    Raises
    ------
    ConfigError
        On entering, if the address cannot be listened on.
    """

    def __init__(self, exchange: ReplayExchange, host: str = "127.0.0.1", port: int = 0) -> None:
        self.exchange = exchange
        self.request_times_s: list[float] = []
        self.num_requests: Counter[str] = Counter()
        self._host, self._port = host, port
        self._names = random.Random(exchange.settings.seed)  # of connections
        self._runner: web.ServerRunner | None = None
        self._broadcast: Broadcast | None = None
        self._pushing: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where REST is served."""
        return f"http://{self._host}:{self._port}"

    @property
    def ws_url(self) -> str:
        """Where WebSockets are served, under ``/v5/public/{spot,linear,inverse}``."""
        return f"ws://{self._host}:{self._port}"

    @property
    def num_connections(self) -> int:
        """How many WebSockets are open."""
        return len(self._connections)

    def drop_connections(self) -> None:
        """Cut every WebSocket now, without a word."""
        for connection in self._connections:
            connection.drop()

    def stall_connections(self) -> None:
        """Leave every WebSocket that is there now open, and say nothing more on it."""
        for connection in self._connections:
            connection.stall()

    async def __aenter__(self) -> Self:
        runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except (OSError, OverflowError) as error:
            await runner.cleanup()
            raise ConfigError(
                f"the server must have an address that is free, got {self._host}:{self._port} ({error}); "
                f"choose another port"
            ) from error
        self._runner = runner
        self._port = runner.addresses[0][1]
        self._begin_pushing()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        assert self._pushing is not None
        self._pushing.cancel()
        self.drop_connections()
        await self._runner.cleanup()
        (ended,) = await asyncio.gather(self._pushing, return_exceptions=True)
        if isinstance(ended, Exception):
            raise ended

    def _begin_pushing(self) -> None:
        exchange = self.exchange
        exchange.clock.begin()
        settings = exchange.settings
        pushes = Pushes(exchange.holdings, exchange.faults, settings.push_every_s, exchange.now_ms)
        self._broadcast = Broadcast(exchange.clock, pushes, exchange.faults, settings.speed)
        self._pushing = asyncio.create_task(self._broadcast.run())

    @property
    def _connections(self) -> list[Connection]:
        return [] if self._broadcast is None else list(self._broadcast.connections)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path in _STREAMS:
            return await self._stream(request, _STREAMS[request.path])
        return await self._rest(request)

    async def _stream(self, request: web.BaseRequest, category: str) -> web.StreamResponse:
        exchange, broadcast = self.exchange, self._broadcast
        assert broadcast is not None
        name = f"{self._names.getrandbits(96):024x}"
        settings = exchange.settings
        conversation = Conversation(exchange.holdings, category, name, lambda: exchange.now_ms, settings.pong)
        connection = Connection(conversation, settings, broadcast.heard)
        timers = broadcast.join(connection)
        try:
            return await connection.serve(request)
        finally:
            for timer in timers:
                timer.cancel()
            broadcast.leave(connection)

    async def _rest(self, request: web.BaseRequest) -> web.Response:
        at_s = asyncio.get_running_loop().time()
        self.request_times_s.append(at_s)
        self.num_requests[request.path] += 1
        if request.method != "GET":
            return web.Response(status=404, text="404 page not found")
        answer = self.exchange.answer(request.path, request.query, request.remote or "", at_s)
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        return web.Response(
            status=answer.status,
            body=answer.body.encode(),
            headers={"Content-Type": answer.content_type, **answer.headers},
        )
