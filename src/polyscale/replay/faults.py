"""What goes wrong, decided in one place: every chance is drawn here, from generators of one seed.

In: `FaultSettings`. Out: per request, page, closed candle and connection, what happens to it. Each fault has
a generator of its own, so that switching one on does not move the others.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

from polyscale.replay.candles import Candle
from polyscale.replay.forming import Steps
from polyscale.replay.settings import FaultSettings

_NUM_DOUBLED: Final = 3  # rows of a page that come twice
_MORE_VOLUME: Final = 1.01  # of a revised candle


class RequestFault(Enum):
    """What a request meets instead of its answer."""

    BANNED = "http_403"
    OVERLOAD = "http_429"
    BUSY = "busy_10006"
    CUT_OFF = "malformed"


class CloseFault(NamedTuple):
    """What happens to the push of a closed candle."""

    missing: bool
    late_ms: int
    twice: bool
    revised_after_ms: int | None  # after its close; none if it stays as it is


class Faults:
    """Draws what goes wrong; the same seed and the same requests give the same faults."""

    def __init__(self, settings: FaultSettings, seed: int) -> None:
        self._settings = settings
        self._draws = {name: random.Random(f"{seed}/{name}") for name in FaultSettings.model_fields}

    @property
    def skew_ms(self) -> int:
        """How far the exchange's clock goes ahead."""
        return round(self._settings.clock_skew_s * 1_000)

    def of_request(self) -> RequestFault | None:
        """What a request meets; the gravest of those that were drawn."""
        drawn = [fault for fault in RequestFault if self._happens(fault.value)]
        return drawn[0] if drawn else None

    def delay_s(self) -> float:
        """How long an answer is held back, time of the event loop."""
        return self._settings.slow_page_s if self._happens("slow_page") else 0.0

    def on_page(self, rows: Sequence[str]) -> list[str]:
        """Rows of candles, some doubled, one broken."""
        page = list(rows)
        if page and self._happens("duplicated"):
            first = self._draws["duplicated"].randrange(len(page))
            page[first:first] = page[first : first + _NUM_DOUBLED]
        if page and self._happens("broken_row"):
            idx = self._draws["broken_row"].randrange(len(page))
            page[idx] = _high_below_low(page[idx])
        return page

    def of_close(self) -> CloseFault:
        """What happens to the push of a closed candle."""
        settings = self._settings
        return CloseFault(
            missing=self._happens("missing_confirm"),
            late_ms=round(settings.late_confirm_s * 1_000) if self._happens("late_confirm") else 0,
            twice=self._happens("duplicated"),
            revised_after_ms=round(settings.revised_after_s * 1_000) if self._happens("revised") else None,
        )

    def drop_after_s(self) -> float | None:
        """After how long a new connection is cut, exchange time; none if it lives."""
        return self._waiting_s("drops_per_hour")

    def stall_after_s(self) -> float | None:
        """After how long a new connection falls silent, exchange time; none if it does not."""
        return self._waiting_s("stalls_per_hour")

    def _happens(self, name: str) -> bool:
        chance: float = getattr(self._settings, name)
        return chance > 0 and self._draws[name].random() < chance

    def _waiting_s(self, name: str) -> float | None:
        per_hour: float = getattr(self._settings, name)
        return self._draws[name].expovariate(per_hour / 3_600) if per_hour > 0 else None


def revised(candle: Candle, steps: Steps) -> Candle:
    """The same candle with other, sound numbers: one tick higher at its top, a little more traded."""
    tick = 10.0 ** -(steps.price if steps.price is not None else 8)
    high = candle.high + tick
    if steps.price is not None:
        high = round(high, steps.price)
    return candle._replace(
        high=max(high, candle.high * (1 + 1e-12)),
        volume=candle.volume * _MORE_VOLUME,
        turnover=candle.turnover * _MORE_VOLUME,
    )


def _high_below_low(row: str) -> str:
    texts = json.loads(row)
    texts[2], texts[3] = texts[3], texts[2]
    if float(texts[2]) == float(texts[3]):
        texts[3] = texts[3] + "1" if "." in texts[3] else texts[3] + ".1"
    return json.dumps(texts, separators=(",", ":"))
