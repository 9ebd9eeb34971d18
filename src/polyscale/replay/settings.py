"""How the exchange is played, and what goes wrong in it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from polyscale.market.settings import Settings


class FaultSettings(Settings):
    """What goes wrong; nothing unless it is asked for. Drawn from a seeded generator.

    A chance is per request, per page of candles, or per closed candle of a topic; a rate is per connection
    and hour of the exchange's time.
    """

    drops_per_hour: float = Field(0.0, ge=0, le=3_600, description="a WebSocket is cut without a word")
    stalls_per_hour: float = Field(0.0, ge=0, le=3_600, description="a WebSocket stays open and falls silent")
    http_429: float = Field(0.0, ge=0, le=1, description="chance that a request meets an overload")
    http_403: float = Field(0.0, ge=0, le=1, description="chance that a request gets its address banned")
    busy_10006: float = Field(0.0, ge=0, le=1, description="chance of 'too many visits'")
    malformed: float = Field(0.0, ge=0, le=1, description="chance that an answer is cut off inside its JSON")
    broken_row: float = Field(0.0, ge=0, le=1, description="chance that one row of a page has high below low")
    duplicated: float = Field(
        0.0, ge=0, le=1, description="chance that a page holds rows twice, that a closed candle comes twice"
    )
    late_confirm: float = Field(0.0, ge=0, le=1, description="chance that a closed candle is pushed late")
    late_confirm_s: float = Field(5.0, ge=0, le=3_600, description="how late, exchange time")
    missing_confirm: float = Field(0.0, ge=0, le=1, description="chance that a closed candle is never pushed")
    revised: float = Field(0.0, ge=0, le=1, description="chance that a closed candle comes again, changed")
    revised_after_s: float = Field(
        30.0, gt=0, le=86_400, description="how long after its close, exchange time"
    )
    clock_skew_s: float = Field(0.0, ge=-86_400, le=86_400, description="the exchange's clock goes ahead by")
    slow_page: float = Field(0.0, ge=0, le=1, description="chance that an answer takes its time")
    slow_page_s: float = Field(2.0, ge=0, le=600, description="how long, time of the event loop")


class ReplaySettings(Settings):
    """How time passes, and which of the exchange's rules hold."""

    speed: float = Field(1.0, gt=0, le=1_000_000, description="seconds of the exchange per second")
    push_every_s: float = Field(1.0, ge=0.1, le=60, description="between pushes of a forming candle")
    keeps: Literal["newest", "oldest"] = Field(
        "newest", description="end of a window with more than limit candles that is answered"
    )
    limited: bool = Field(True, description="more than 600 requests in 5 s get an address banned")
    pong: Literal["public", "option"] = Field("public", description="shape of the answer to a ping")
    reply_after_s: float = Field(
        0.02, ge=0, le=60, description="until a WebSocket answers, as over a network; time of the event loop"
    )
    idle_s: float = Field(600.0, gt=0, le=86_400, description="silence after which a WebSocket is cut, s")
    max_behind: int = Field(
        100_000, ge=1, description="pushes that a WebSocket may leave untaken before it is cut"
    )
    seed: int = Field(1, ge=0, description="of paths inside candles, of faults, of connection ids")
    faults: FaultSettings = FaultSettings()
