"""How patient the stream is, and what it counts.

In: nothing. Out: the settings of `bybit_stream` and its parts, and the counters that a user can read while
it runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from polyscale.market.settings import Settings


class StreamSettings(Settings):
    """Times in seconds of the event loop."""

    ping_every_s: float = Field(20.0, gt=0, le=300, description="published: 20; idle is cut after 10 minutes")
    silence_s: float = Field(30.0, gt=0, le=600, description="no message at all: connect again")
    push_silence_s: float = Field(150.0, gt=0, le=3_600, description="no candle at all; published: 1-60")
    ack_s: float = Field(10.0, gt=0, le=300, description="for the answer to a subscription")
    connect_s: float = Field(10.0, gt=0, le=300, description="for the handshake")
    close_s: float = Field(1.0, gt=0, le=60, description="for the farewell; then the socket is cut")
    max_bad_in_a_row: int = Field(10, ge=1, description="messages that cannot be used: connect again")
    backoff_s: float = Field(0.5, gt=0, le=60, description="wait after the first loss, doubled each time")
    max_backoff_s: float = Field(30.0, gt=0, le=600)
    healthy_s: float = Field(60.0, gt=0, le=3_600, description="a connection that held so long resets it")
    min_connect_gap_s: float = Field(1.0, gt=0, le=60, description="published: 500 in 5 min per address")
    max_topic_characters: int = Field(21_000, ge=100, le=21_000, description="published, per connection")
    max_ahead_s: float = Field(600.0, gt=0, le=86_400, description="of a message's time, to be believed")
    settle_s: float = Field(2.0, ge=0, le=60, description="REST is not asked for a bar younger than this")
    confirm_grace_s: float = Field(5.0, gt=0, le=600, description="after a close, then REST is asked")
    gap_patience_s: float = Field(30.0, gt=0, le=86_400, description="of denials by REST: the bar is a hole")
    gap_retry_s: float = Field(5.0, gt=0, le=3_600, description="between two questions for a missing bar")
    overlap_bars: int = Field(5, ge=0, le=900, description="given out before, asked again for revisions")
    concurrency: int = Field(8, ge=1, le=100, description="series asked for by REST at once")


@dataclass
class StreamCounts:
    """What has happened so far."""

    num_connects: int = 0  # handshakes that succeeded
    num_losses: int = 0  # connections that ended, and handshakes that failed
    num_messages: int = 0
    num_bad_messages: int = 0  # dropped, with a word in the log
    num_backfills: int = 0  # rounds of questions to REST, for one series each
    num_busy_backfills: int = 0  # of these, put off
