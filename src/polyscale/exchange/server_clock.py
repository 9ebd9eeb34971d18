"""The exchange's clock, carried forward by the event loop's time; the local clock is never asked.

In: times that the exchange told, as they arrive. Out: a time that the exchange's clock has passed, if its
messages tell the truth: what it told was true when it was sent, which was before it came. It says when to
ask; whether a bar had closed, the answer's own time decides.
"""

from __future__ import annotations

import asyncio
from typing import Final

from polyscale.exchange.wire_fields import refused

_STALE_S: Final = 600.0  # after which a smaller lead is believed: the two clocks may drift apart


class ServerClock:
    """Belongs to one event loop; tells no time before it was set.

    Parameters
    ----------
    max_ahead_s
        A message's time further ahead than this is not believed; only REST is.
    """

    def __init__(self, max_ahead_s: float = 600.0) -> None:
        self._max_ahead_s = max_ahead_s
        self._lead_ms: float | None = None  # of the exchange's clock over the loop's
        self._seen_s = 0.0

    def set(self, server_ms: int) -> None:
        """Believe a time that REST told just now, whatever was held so far."""
        self._lead_ms, self._seen_s = server_ms - 1_000 * _now_s(), _now_s()

    def observe(self, asked: str, server_ms: int) -> None:
        """Take the time of a message that came just now.

        Raises
        ------
        WireError
            For a time too far ahead.
        """
        lead_ms = server_ms - 1_000 * _now_s()
        if lead_ms > self._lead() + 1_000 * self._max_ahead_s:
            raise refused(
                asked, f"ts must lie at most {self._max_ahead_s:g} s past {self.now_ms():.0f}", server_ms
            )
        if lead_ms > self._lead() or _now_s() - self._seen_s > _STALE_S:
            self._lead_ms, self._seen_s = lead_ms, _now_s()

    def now_ms(self) -> float:
        """Milliseconds since 1970 that the exchange's clock has reached."""
        return 1_000 * _now_s() + self._lead()

    def loop_s(self, server_ms: float) -> float:
        """The event loop's time at which this clock reaches ``server_ms``."""
        return (server_ms - self._lead()) / 1_000

    def _lead(self) -> float:
        assert self._lead_ms is not None, "the clock is set before anything is asked of it"
        return self._lead_ms


def _now_s() -> float:
    return asyncio.get_running_loop().time()
