"""Who listens to what, and the one timer that pushes to all of them.

In: connections as they come, speak and go. Out: every text that is due, given to each that listens to it.
"""

from __future__ import annotations

import asyncio

from polyscale.replay.clock import ReplayClock
from polyscale.replay.connection import Connection
from polyscale.replay.conversation import Topic
from polyscale.replay.faults import Faults
from polyscale.replay.pushes import Pushes


class Broadcast:
    """The connections of a server; `run` it beside them."""

    def __init__(self, clock: ReplayClock, pushes: Pushes, faults: Faults, speed: float) -> None:
        self.connections: dict[Connection, set[Topic]] = {}
        self._clock = clock
        self._pushes = pushes
        self._faults = faults
        self._speed = speed
        self._listeners: dict[Topic, dict[Connection, None]] = {}
        self._wake = asyncio.Event()

    def join(self, connection: Connection) -> list[asyncio.TimerHandle]:
        """A connection comes; the timers of its faults, to be cancelled when it goes."""
        self.connections[connection] = set()
        loop = asyncio.get_running_loop()
        ends = [
            (self._faults.drop_after_s(), connection.drop),
            (self._faults.stall_after_s(), connection.stall),
        ]
        return [loop.call_later(after_s / self._speed, end) for after_s, end in ends if after_s is not None]

    def heard(self, connection: Connection) -> None:
        """A connection spoke: what it listens to may have changed."""
        self._listen(connection, dict.fromkeys(connection.topics))

    def leave(self, connection: Connection) -> None:
        """A connection is gone."""
        self._listen(connection, {})
        del self.connections[connection]

    async def run(self) -> None:
        """Push what is due, when it is due, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            next_ms = self._pushes.next_ms()
            timer = None
            if next_ms is not None:
                timer = loop.call_later(self._clock.seconds_until(next_ms), self._wake.set)
            await self._wake.wait()
            if timer is not None:
                timer.cancel()
            for topic, text in self._pushes.due(self._clock.now_ms):
                for connection in list(self._listeners.get(topic, ())):
                    connection.push(text)

    def _listen(self, connection: Connection, topics: dict[Topic, None]) -> None:
        before = self.connections[connection]
        for topic in before.difference(topics):
            del self._listeners[topic][connection]
            if not self._listeners[topic]:
                del self._listeners[topic]
                self._pushes.unwatch(topic)
        for topic in topics:
            if topic not in before:
                if topic not in self._listeners:
                    self._listeners[topic] = {}
                    self._pushes.watch(topic)
                self._listeners[topic][connection] = None
        if before != topics.keys():
            self.connections[connection] = set(topics)
            self._wake.set()
