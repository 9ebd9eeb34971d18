"""The played exchange on a port: REST and WebSocket by aiohttp. A thin shell, decisions lie in `exchange`.

In: a `ReplayExchange`. Out: ``http://host:port/v5/market/...`` as long as the server runs.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Self

from aiohttp import web

from polyscale.market.errors import ConfigError
from polyscale.replay.exchange import ReplayExchange


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
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        """Where REST is served."""
        return f"http://{self._host}:{self._port}"

    @property
    def ws_url(self) -> str:
        """Where WebSockets are served, under ``/v5/public/{spot,linear,inverse}``."""
        return f"ws://{self._host}:{self._port}"

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
        self.exchange.clock.begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._rest(request)

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
