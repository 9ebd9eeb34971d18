"""The exchange played from bars: what it holds, its clock, its answers. No sockets: `server` has those.

In: frames that we hold, the instant at which to begin, and how to play. Out: an answer per request, as of
the exchange's time. Nothing of what begins later is ever in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

import polars as pl

from polyscale.market.bars import Market
from polyscale.market.timeframe import Timeframe
from polyscale.replay.clock import ReplayClock
from polyscale.replay.faults import Faults, RequestFault
from polyscale.replay.holdings import Holdings
from polyscale.replay.limit import REQUESTS, RequestLimit
from polyscale.replay.reply import Reply
from polyscale.replay.rest import Params, answer_rest
from polyscale.replay.settings import ReplaySettings

_TOO_FREQUENT: Final = "access too frequent"
_TOO_MANY: Final = Reply(10006, "Too many visits. Exceeded the API Rate Limit.")
_JSON: Final = "application/json; charset=utf-8"


class Answer(NamedTuple):
    """What goes back to who asked."""

    status: int
    body: str
    content_type: str
    headers: Mapping[str, str]
    delay_s: float  # to wait before it goes, time of the event loop


class ReplayExchange:
    """Bybit's public market data as of a time that passes from ``start_ms`` on.

    Parameters
    ----------
    bars
        Frames in `BAR_SCHEMA` per market and timeframe; coarser intervals are put together from the finest.
    funding
        Frames in `FUNDING_SCHEMA` per market.
    start_ms
        The exchange's time when it begins to be served.

    Raises
    ------
    DataError
        If a frame breaks its contract.
    ConfigError
        If there are no bars, a market that the exchange cannot have, or a start out of this century.
    """

    def __init__(
        self,
        bars: Mapping[tuple[Market, Timeframe], pl.DataFrame],
        funding: Mapping[Market, pl.DataFrame] | None = None,
        *,
        start_ms: int,
        settings: ReplaySettings | None = None,
    ) -> None:
        self.settings = settings or ReplaySettings()
        self.holdings = Holdings(bars, funding or {}, self.settings.seed)
        self.faults = Faults(self.settings.faults, self.settings.seed)
        self.clock = ReplayClock(start_ms + self.faults.skew_ms, self.settings.speed)
        self._limit = RequestLimit(limited=self.settings.limited)

    @property
    def now_ms(self) -> int:
        """The exchange's time."""
        return self.clock.now_ms

    def answer(self, path: str, params: Params, address: str, at_s: float) -> Answer:
        """Answer a request that came from an address at a time of the event loop."""
        if not self._limit.admits(address, at_s):
            return _plain(403, _TOO_FREQUENT)
        fault = self.faults.of_request()
        if fault is RequestFault.BANNED:
            self._limit.ban(address, at_s)
            return _plain(403, _TOO_FREQUENT)
        if fault is RequestFault.OVERLOAD:
            return _plain(429, "system protection")
        now_ms = self.now_ms
        reply = self._reply(path, params, now_ms, fault)
        if reply is None:
            return _plain(404, "404 page not found")
        body = reply.body(now_ms)
        if fault is RequestFault.CUT_OFF:
            body = body[: len(body) // 2]
        return Answer(200, body, _JSON, self._headers(address, now_ms), self.faults.delay_s())

    def _reply(self, path: str, params: Params, now_ms: int, fault: RequestFault | None) -> Reply | None:
        if fault is RequestFault.BUSY:
            return _TOO_MANY
        reply = answer_rest(self.holdings, path, params, now_ms, self.settings.keeps)
        if reply is not None and reply.rows and path.endswith("kline"):
            return replace(reply, rows=self.faults.on_page(reply.rows))
        return reply

    def _headers(self, address: str, now_ms: int) -> Mapping[str, str]:
        return {
            "X-Bapi-Limit": str(REQUESTS),
            "X-Bapi-Limit-Status": str(self._limit.num_left(address)),
            "X-Bapi-Limit-Reset-Timestamp": str(now_ms),
        }


def _plain(status: int, text: str) -> Answer:
    return Answer(status, text, "text/plain; charset=utf-8", {}, 0.0)
