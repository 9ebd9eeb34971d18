"""The exchange's limit: who asks more than 600 times in any 5 s is banned for ten minutes.

In: addresses and the instants of their requests, by the event loop's time. Out: whether they are served.
"""

from __future__ import annotations

from collections import deque
from typing import Final

REQUESTS: Final = 600
PERIOD_S: Final = 5.0
BAN_S: Final = 600.0


class RequestLimit:
    """Counts requests per address over the last 5 s, and keeps the bans.

    Parameters
    ----------
    limited
        Whether asking too often is a ban; if not, only `ban` is.
    """

    def __init__(self, *, limited: bool) -> None:
        self._limited = limited
        self._asked_s: dict[str, deque[float]] = {}
        self._banned_until_s: dict[str, float] = {}

    def admits(self, address: str, at_s: float) -> bool:
        """Count a request; whether it may be served."""
        if at_s < self._banned_until_s.get(address, at_s):
            return False
        asked_s = self._asked_s.setdefault(address, deque())
        asked_s.append(at_s)
        while asked_s[0] <= at_s - PERIOD_S:
            asked_s.popleft()
        if self._limited and len(asked_s) > REQUESTS:
            self.ban(address, at_s)
            return False
        return True

    def ban(self, address: str, at_s: float) -> None:
        """Serve an address no more for ten minutes."""
        self._banned_until_s[address] = at_s + BAN_S
        self._asked_s.pop(address, None)

    def num_left(self, address: str) -> int:
        """How many more requests would have been served in the 5 s before the last one."""
        return max(REQUESTS - len(self._asked_s.get(address, ())), 0)
