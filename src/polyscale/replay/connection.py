"""One WebSocket of a client: what it says is heard, what is pushed waits here until it is sent.

In: a handshake. Out: replies and pushes, until the client goes, is idle for too long, or a fault cuts it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from aiohttp import WSMsgType, web

from polyscale.replay.conversation import Conversation, Topic
from polyscale.replay.settings import ReplaySettings

_MAX_TEXT: Final = 1 << 20  # bytes of one text of a client
_CLOSING_S: Final = 1.0  # that a client has to answer a close


class Connection:
    """A client's WebSocket.

    Parameters
    ----------
    settings
        How soon it replies, and when it is cut: after ``idle_s`` without a word from the client, or with more
        than ``max_behind`` texts waiting to be sent.
    on_heard
        Called after every text of the client, for its topics may differ.
    """

    def __init__(
        self,
        conversation: Conversation,
        settings: ReplaySettings,
        on_heard: Callable[[Connection], None],
    ) -> None:
        self._conversation = conversation
        self._settings = settings
        self._on_heard = on_heard
        self._socket = web.WebSocketResponse(
            autoping=False, compress=False, max_msg_size=_MAX_TEXT, timeout=_CLOSING_S
        )
        self._transport: asyncio.Transport | None = None
        self._said: deque[str] = deque()  # by the client, not yet answered
        self._waiting: deque[str] = deque()  # for the client, not yet sent
        self._filled = asyncio.Event()
        self._silent = False

    @property
    def topics(self) -> list[Topic]:
        """What it listens to, in the order of its subscriptions."""
        return list(self._conversation.topics)

    async def serve(self, request: web.BaseRequest) -> web.WebSocketResponse:
        """Hear the client until one of both ends it."""
        await self._socket.prepare(request)
        self._transport = request.transport
        sending = asyncio.create_task(self._send_all())
        try:
            await self._hear_all()
        finally:
            self._said.clear()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return self._socket

    def push(self, text: str) -> None:
        """Send a text as soon as the client takes it; a client that falls far behind is cut."""
        if self._silent:
            return
        self._waiting.append(text)
        self._filled.set()
        if len(self._waiting) > self._settings.max_behind:
            self.drop()

    def drop(self) -> None:
        """Cut it without a word."""
        self.stall()
        if self._transport is not None:
            self._transport.abort()

    def stall(self) -> None:
        """Leave it open and say nothing more on it."""
        self._silent = True
        self._waiting.clear()

    async def _hear_all(self) -> None:
        while True:
            try:
                message = await self._socket.receive(timeout=self._settings.idle_s)
            except TimeoutError:
                await self._socket.close()
                return
            if message.type is WSMsgType.TEXT:
                self._answer_soon(message.data)
            elif message.type is WSMsgType.PING:
                await self._pong(message.data)
            elif message.type is not WSMsgType.PONG:
                return

    def _answer_soon(self, text: str) -> None:
        """Answer, but not at once: pybit notes what it subscribes to only after it has sent it."""
        self._said.append(text)
        asyncio.get_running_loop().call_later(self._settings.reply_after_s, self._answer)

    def _answer(self) -> None:
        if self._said:  # else it has ended in the meantime
            self.push(self._conversation.hear(self._said.popleft()))
            self._on_heard(self)

    async def _pong(self, payload: bytes) -> None:
        if not self._silent:
            await self._socket.pong(payload)

    async def _send_all(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._waiting:
                try:
                    await self._socket.send_str(self._waiting.popleft())
                except ConnectionError:  # gone in the meantime: the hearing side ends it
                    return
