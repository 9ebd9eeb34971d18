"""A WebSocket client of the tests: says what it is told to and collects what comes, on made-up time."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager

from websockets.asyncio.client import connect

from polyscale.replay.server import ReplayServer
from tests.leap import run


class Listener:
    """What one connection says and hears; ``at_s`` is when each text came."""

    def __init__(self, opened):
        self._socket = opened
        self.at_s = []

    async def say(self, **said):
        await self._socket.send(json.dumps(said))

    async def say_text(self, text):
        await self._socket.send(text)

    async def hear(self):
        text = await self._socket.recv()
        self.at_s.append(asyncio.get_running_loop().time())
        return json.loads(text)

    async def subscribe(self, *topics):
        await self.say(op="subscribe", args=list(topics))
        return await self.hear()

    async def hear_for(self, seconds):
        """All that comes in a while."""
        heard = []
        try:
            async with asyncio.timeout(seconds):
                while True:
                    heard.append(await self.hear())
        except TimeoutError:
            return heard

    async def ping_frame(self):
        """Whether a ping of the protocol is answered within ten seconds."""
        try:
            await asyncio.wait_for(await self._socket.ping(), 10)
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def listening(server, category="linear", receive_bytes=None):
    """A listener; ``receive_bytes`` is how much the system takes for it while it does not look."""
    with socket.socket() as plain:
        if receive_bytes is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        host, port = server.ws_url.removeprefix("ws://").split(":")
        plain.connect((host, int(port)))
        plain.setblocking(False)
        url = f"{server.ws_url}/v5/public/{category}"
        async with connect(url, sock=plain, ping_interval=None, compression=None, close_timeout=1) as opened:
            yield Listener(opened)


def listen(exchange, story, category="linear"):
    """Let a story happen between a server of the exchange and one listener."""

    async def happen():
        async with ReplayServer(exchange) as server, listening(server, category) as listener:
            return await story(server, listener)

    return run(happen())


def candle_of(message):
    """The candle of a push."""
    (candle,) = message["data"]
    return candle


def confirmed(messages):
    """Closed candles, in the order in which they came."""
    candles = [candle_of(message) for message in messages if "data" in message]
    return [candle for candle in candles if candle["confirm"]]
