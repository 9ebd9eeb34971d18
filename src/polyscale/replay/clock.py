"""The exchange's clock: made of the event loop's time, so that tests can make time up."""

from __future__ import annotations

import asyncio
from typing import Final

from polyscale.market.errors import ConfigError

_BEGIN_MS: Final = 946_684_800_000  # 2000-01-01, before any exchange
_END_MS: Final = 4_102_444_800_000  # 2100-01-01


class ReplayClock:
    """Milliseconds since 1970 by the exchange: stands at ``start_ms`` until `begin`, then passes.

    Parameters
    ----------
    speed
        Seconds of the exchange per second of the loop.
    """

    def __init__(self, start_ms: int, speed: float) -> None:
        if not _BEGIN_MS <= start_ms < _END_MS:
            raise ConfigError(f"start_ms must be in ms, between 2000 and 2100, got {start_ms}")
        self._start_ms = start_ms
        self._speed = speed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._began_s = 0.0

    def begin(self) -> None:
        """Let time pass by the loop that runs; again on the same loop changes nothing."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._start_ms = self.now_ms
            self._loop, self._began_s = loop, loop.time()

    @property
    def now_ms(self) -> int:
        """The time of the exchange."""
        if self._loop is None:
            return self._start_ms
        return self._start_ms + int((self._loop.time() - self._began_s) * 1_000 * self._speed)

    def seconds_until(self, at_ms: float) -> float:
        """How long the loop has to wait for an instant of the exchange, never negative."""
        return max(at_ms - self.now_ms, 0.0) / 1_000 / self._speed
