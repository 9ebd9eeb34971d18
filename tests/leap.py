"""An event loop whose time is made up: what waits for a timer waits for nothing.

Sockets are real. Time leaps to the next timer only when no socket has anything to say for a moment, so
servers and clients on loopback can share such a loop.
"""

import asyncio
import selectors

PATIENCE_S = 0.0005  # real time in which bytes on loopback arrive
STUCK_S = 20  # real time in which a thread, the only thing that is waited for, must be done


class _Leap(selectors.DefaultSelector):
    """Moves made-up time to the next timer, and a little at every look, as time does."""

    now_s = 0.0

    def select(self, timeout=None):
        self.now_s += 1e-6
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        sockets = len(self.get_map()) > 1  # the first is the loop's own
        wait_s = PATIENCE_S if sockets else 0
        ready = super().select(STUCK_S if timeout is None else wait_s)
        if ready:
            return ready
        assert timeout is not None, "everything waits and nothing will wake it"
        self.now_s += timeout
        return []


def run(coroutine):
    """Run to the end on made-up time, which begins at 0 s."""
    leap = _Leap()

    def new_loop():
        loop = asyncio.SelectorEventLoop(leap)
        loop.time = lambda: leap.now_s
        return loop

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(coroutine)
