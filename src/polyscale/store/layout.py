"""How bars and funding lie in Delta tables: folders, keys, types, and what may name a partition.

Delta keeps microseconds; the contract speaks milliseconds. Both types meet in this file only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import polars as pl
from deltalake import Field, Schema
from deltalake.schema import PrimitiveType

from polyscale.market.bars import BAR_SCHEMA, FUNDING_SCHEMA, Market
from polyscale.market.errors import ConfigError
from polyscale.market.timeframe import Timeframe

STORED_TIME: Final = pl.Datetime("us", "UTC")
# Folder names on every file system, and no quote that could end a literal of SQL.
_RULES: Final = {
    "venue": re.compile(r"[a-z0-9][a-z0-9._-]*"),
    "category": re.compile(r"[a-z0-9][a-z0-9._-]*"),
    "symbol": re.compile(r"[A-Z0-9][A-Z0-9._-]*"),
}
# Versions that runs name must stay readable for ever: neither log nor files may expire.
CONFIGURATION: Final = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}


@dataclass(frozen=True)
class Layout:
    """One kind of table: its folder, its time (unique within a partition), its columns."""

    name: str
    time: str
    values: pl.Schema  # the contract's columns, time among them
    nullable: tuple[str, ...]  # null there means unknown
    partitions: tuple[str, ...]

    def schema(self) -> Schema:
        """The schema in Delta's types."""
        kinds = {name: "timestamp" if name == self.time else "double" for name in self.values}
        numbers = [
            Field(name, PrimitiveType(kind), nullable=name in self.nullable) for name, kind in kinds.items()
        ]
        return Schema(
            [*numbers, *(Field(n, PrimitiveType("string"), nullable=False) for n in self.partitions)]
        )


@dataclass(frozen=True)
class Partition:
    """The rows of one series: one value per partition column of a layout."""

    values: tuple[tuple[str, str], ...]

    def where(self, alias: str) -> str:
        """As a condition of SQL."""
        return " AND ".join(f"{alias}.{name} = '{value}'" for name, value in self.values)

    def filters(self) -> list[tuple[str, str, object]]:
        """As filters on the Delta log."""
        return [(name, "=", value) for name, value in self.values]

    def __str__(self) -> str:
        names = [value for _, value in self.values]
        return " ".join(["/".join(names[:3]), *names[3:]])


BARS: Final = Layout(
    "bars", "close_time", BAR_SCHEMA, ("turnover",), ("venue", "category", "symbol", "timeframe")
)
FUNDING: Final = Layout("funding", "time", FUNDING_SCHEMA, (), ("venue", "category", "symbol"))


def bars_partition(market: Market, timeframe: Timeframe) -> Partition:
    """Where the bars of a market and timeframe lie; `ConfigError` for names that cannot be stored."""
    return Partition((*funding_partition(market).values, ("timeframe", str(timeframe))))


def funding_partition(market: Market) -> Partition:
    """Where the funding of a market lies; `ConfigError` for names that cannot be stored."""
    values = (("venue", market.venue), ("category", market.category), ("symbol", market.symbol))
    for name, value in values:
        if not _RULES[name].fullmatch(value):
            raise ConfigError(
                f"{name} must match {_RULES[name].pattern}, got {value!r} ({market}); write another name for "
                f"it, such as {_suggestion(name, value)!r}"
            )
    return Partition(values)


def _suggestion(name: str, value: str) -> str:
    cased = value.upper() if name == "symbol" else value.lower()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", cased).strip("._-") or (
        "BTCUSDT" if name == "symbol" else "bybit"
    )
