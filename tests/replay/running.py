"""A played exchange in a thread with an event loop of its own, for clients that are not asynchronous."""

import asyncio
import threading
from contextlib import contextmanager

from polyscale.replay.server import ReplayServer


@contextmanager
def running(exchange, **where):
    """Serve until the block ends. Its methods may be called by ``loop.call_soon_threadsafe`` only."""
    started, stopping = threading.Event(), []

    async def serve():
        stop = asyncio.Event()
        async with ReplayServer(exchange, **where) as server:
            stopping.extend([server, asyncio.get_running_loop(), stop])
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(20), "the server must start"
    server, loop, stop = stopping
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        assert not thread.is_alive(), "the server must stop"
