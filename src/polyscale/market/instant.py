"""Instants as milliseconds since 1970, and as Python's own, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def time_of(ms: int | float) -> datetime:
    """The instant, with its zone."""
    return datetime.fromtimestamp(ms / 1_000, UTC)


def ms_of(instant: datetime) -> int:
    """Milliseconds since 1970 of an instant that has a zone."""
    return round(instant.timestamp() * 1_000)


def shown(ms: int | float) -> str:
    """To the minute, as people read it."""
    return f"{time_of(ms):%Y-%m-%d %H:%M}"
