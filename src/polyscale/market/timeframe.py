"""The length of a bar, of a horizon, of a span: one type and one parser.

In: text such as ``5m``, ``1h``, ``1d``, ``1w`` (also the chapter's ``1min``, ``1H``, ``1D``).
Out: a `Timeframe`, which knows its grid of close times in UTC. Weeks begin on Monday.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polyscale.market.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

MINUTE_MS = 60_000
DAY_MS = 1_440 * MINUTE_MS
_WEEK_MINUTES = 10_080
_FIRST_MONDAY_MS = 4 * DAY_MS  # 1970-01-05: the epoch was a Thursday
_UNITS = {"m": 1, "min": 1, "t": 1, "h": 60, "d": 1_440, "w": _WEEK_MINUTES}
_PATTERN = re.compile(r"(\d*)([A-Za-z]+)")


@dataclass(frozen=True, order=True)
class Timeframe:
    """A whole number of minutes on a grid in UTC.

    Bars of a timeframe close at ``offset_ms + n * ms`` with n an integer.
    """

    minutes: int

    @classmethod
    def parse(cls, text: str | Timeframe) -> Timeframe:
        """Read ``15m``, ``1h``, ``60m`` (= ``1h``), ``1d``, ``1w``; case is ignored but for months.

        Raises
        ------
        ConfigError
            If the text is no whole number of minutes, hours, days or weeks, or if it is longer than a
            day without being whole days.
        """
        if isinstance(text, Timeframe):
            return text
        match = _PATTERN.fullmatch(text.strip()) if isinstance(text, str) else None
        unit = match.group(2) if match else ""
        if match is None or unit == "M" or unit.lower() not in _UNITS:
            raise ConfigError(
                f"timeframe must be a number and a unit out of m, h, d, w (5m, 1h, 1d), got {text!r}"
            )
        minutes = int(match.group(1) or 1) * _UNITS[unit.lower()]
        if minutes < 1:
            raise ConfigError(f"timeframe must be >= 1 minute, got {text!r}")
        return cls(minutes)

    @property
    def ms(self) -> int:
        """Length in milliseconds."""
        return self.minutes * MINUTE_MS

    @property
    def offset_ms(self) -> int:
        """Where the grid begins: 0, but Monday 1970-01-05 for whole weeks."""
        return _FIRST_MONDAY_MS if self.minutes % _WEEK_MINUTES == 0 else 0

    def floor_ms(self, time_ms: int) -> int:
        """The last time of the grid at or before a time."""
        return time_ms - (time_ms - self.offset_ms) % self.ms

    def ceil_ms(self, time_ms: int) -> int:
        """The first time of the grid at or after a time."""
        return time_ms + (self.offset_ms - time_ms) % self.ms

    def divides(self, other: Timeframe) -> bool:
        """Whether bars of ``other`` can be put together out of bars of this one."""
        return other.minutes % self.minutes == 0 and (other.offset_ms - self.offset_ms) % self.ms == 0

    def bars_in(self, other: Timeframe) -> int:
        """How many bars of this timeframe make one of ``other``.

        Raises
        ------
        ConfigError
            If it is not a whole number.
        """
        if not self.divides(other):
            raise ConfigError(
                f"{other} must be a whole multiple of {self} on the same grid, got {other.minutes} minutes"
            )
        return other.minutes // self.minutes

    def __str__(self) -> str:
        for unit, minutes in (("w", _WEEK_MINUTES), ("d", 1_440), ("h", 60)):
            if self.minutes % minutes == 0:
                return f"{self.minutes // minutes}{unit}"
        return f"{self.minutes}m"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let a config field of this type be written as text."""
        from pydantic_core import core_schema

        def read(value: str | Timeframe) -> Timeframe:
            try:
                return cls.parse(value)
            except ConfigError as error:
                raise ValueError(str(error)) from error

        text = core_schema.no_info_after_validator_function(read, core_schema.str_schema())
        return core_schema.json_or_python_schema(
            json_schema=text,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), text]),
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )
