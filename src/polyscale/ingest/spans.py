"""Spans of time as a person says them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from polyscale.market.errors import ConfigError
from polyscale.market.instant import ms_of, shown
from polyscale.market.timeframe import Timeframe

_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Span:
    """From an instant on, or so many days back, until an instant or now."""

    since_ms: int | None
    until_ms: int | None
    days: float | None
    default_days: float

    def ends_ms(self, now_ms: int, timeframe: Timeframe) -> tuple[int, int]:
        """Start and end in ms, the end at most now; `ConfigError` if nothing lies between."""
        if self.days is not None and self.since_ms is not None:
            raise ConfigError("either --days or --since must be given, got both; leave one out")
        end_ms = now_ms if self.until_ms is None else min(self.until_ms, now_ms)
        days = self.default_days if self.days is None else self.days
        if not 0 < days < 100_000:
            raise ConfigError(f"days must be > 0 and < 100,000, got {days}; correct it")
        days_ms = round(days * _DAY_MS)
        start_ms = self.since_ms
        if start_ms is None:
            start_ms = max(timeframe.floor_ms(end_ms) - days_ms, 0)  # a day of hours is 24 whole ones
        if start_ms >= end_ms:
            raise ConfigError(
                f"the span must end after it begins, got {shown(start_ms)} to {shown(end_ms)} (now is "
                f"{shown(now_ms)} by the exchange's clock); correct --since or --until"
            )
        return start_ms, end_ms


def read_instant_ms(text: str | None) -> int | None:
    """An ISO date or time, in UTC where it names no zone; none for none."""
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"a date must be written as 2025-01-31 or 2025-01-31T12:00, got {text!r}; correct it"
        ) from error
    return ms_of(instant if instant.tzinfo else instant.replace(tzinfo=UTC))
