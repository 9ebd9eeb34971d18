"""How things lie in Delta tables: folders, keys, types, and what may name a partition.

Delta keeps microseconds; the contract speaks milliseconds. Both types meet in this file only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Final

import polars as pl
from deltalake import Field, Schema
from deltalake.schema import PrimitiveType

from polyscale.market.bars import BAR_SCHEMA, FUNDING_SCHEMA, TIME, Market
from polyscale.market.errors import ConfigError
from polyscale.market.order_rules import OrderRules
from polyscale.market.timeframe import Timeframe
from polyscale.store.seal import SEAL, seal_of

STORED_TIME: Final = pl.Datetime("us", "UTC")
_KINDS: Final = {TIME: "timestamp", pl.Float64(): "double", pl.String(): "string", pl.Int64(): "long"}
# Folder names on every file system, and no quote that could end a literal of SQL.
_RULES: Final = {
    "venue": re.compile(r"[a-z0-9][a-z0-9._-]*"),
    "category": re.compile(r"[a-z0-9][a-z0-9._-]*"),
    "symbol": re.compile(r"[A-Z0-9][A-Z0-9._-]*"),
    "run": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"),
}
# Versions that runs name must stay readable for ever: neither log nor files expire by themselves.
CONFIGURATION: Final = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}


@dataclass(frozen=True)
class Layout:
    """One kind of table: its folder, its time, its columns."""

    name: str
    time: str  # rows are sorted by it
    values: pl.Schema  # the contract's columns, time among them
    nullable: tuple[str, ...]  # null there means unknown
    partitions: tuple[str, ...]
    is_unique: bool = True  # each time stands there once per partition: rows are merged, else appended

    def schema(self) -> Schema:
        """The schema in Delta's types, with the seal."""
        values = {**self.values, SEAL: pl.Int64()}
        fields = [
            Field(name, PrimitiveType(_KINDS[kind]), nullable=name in self.nullable)
            for name, kind in values.items()
        ]
        names = [Field(name, PrimitiveType("string"), nullable=False) for name in self.partitions]
        return Schema([*fields, *names])

    def as_stored(self, rows: pl.DataFrame, partition: Partition) -> pl.DataFrame:
        """The rows as they lie in the table: sealed, with their partition, in Delta's types."""
        times = [name for name, kind in self.values.items() if kind.is_temporal()]
        return rows.with_columns(
            seal_of(rows.select(list(self.values)), str(partition)),
            pl.col(times).cast(STORED_TIME),
            *(pl.lit(value).alias(name) for name, value in partition.values),
        )


@dataclass(frozen=True)
class Partition:
    """The rows of one series: one value per partition column of a layout."""

    values: tuple[tuple[str, str], ...]

    def where(self, alias: str = "") -> str:
        """As a condition of SQL."""
        prefix = f"{alias}." if alias else ""
        return " AND ".join(f"{prefix}{name} = '{value}'" for name, value in self.values)

    def __str__(self) -> str:
        names = [value for _, value in self.values]
        return " ".join(["/".join(names[:3]), *names[3:]])


_MARKET: Final = ("venue", "category", "symbol")
_SERIES: Final = (*_MARKET, "timeframe")
BARS: Final = Layout("bars", "close_time", BAR_SCHEMA, ("turnover",), _SERIES)
FUNDING: Final = Layout("funding", "time", FUNDING_SCHEMA, (), _MARKET)
ORDER_RULES: Final = Layout(  # a row per change: what held from its time on
    "order_rules",
    "time",
    pl.Schema({"time": TIME} | {field.name: pl.Float64() for field in fields(OrderRules)}),
    (),
    _MARKET,
)
ABSENT: Final = Layout(  # runs of bars that the exchange was asked for and does not have
    "absent",
    "first_close_time",
    pl.Schema({"first_close_time": TIME, "last_close_time": TIME, "asked_time": TIME, "kind": pl.String()}),
    (),
    _SERIES,
    is_unique=False,  # what was asked last holds, and what it does not speak of stays as it was
)
QUARANTINE: Final = Layout(  # rows that came and broke a rule
    "quarantine",
    "start_time",
    pl.Schema({"start_time": TIME, "seen_time": TIME, "reason": pl.String(), "raw": pl.String()}),
    (),
    _SERIES,
)
REVISIONS: Final = Layout(  # what a bar was before it was revised
    "revisions",
    "close_time",
    pl.Schema({**BAR_SCHEMA, "revised_time": TIME}),
    ("turnover",),
    _SERIES,
    is_unique=False,
)
PINS: Final = Layout(  # versions that runs name
    "pins",
    "pinned_time",
    pl.Schema({"pinned_time": TIME, "bars": pl.Int64(), "funding": pl.Int64()}),
    ("bars", "funding"),
    ("run",),
)


def bars_partition(market: Market, timeframe: Timeframe) -> Partition:
    """Where the bars of a market and timeframe lie; `ConfigError` for names that cannot be stored."""
    return Partition((*market_partition(market).values, ("timeframe", str(timeframe))))


def market_partition(market: Market) -> Partition:
    """Where funding and order rules of a market lie; `ConfigError` for names that cannot be stored."""
    return _checked(("venue", market.venue), ("category", market.category), ("symbol", market.symbol))


def run_partition(run: str) -> Partition:
    """Where the pin of a run lies; `ConfigError` for a name that cannot be stored."""
    return _checked(("run", run))


def _checked(*values: tuple[str, str]) -> Partition:
    for name, value in values:
        if not _RULES[name].fullmatch(value):
            raise ConfigError(
                f"{name} must match {_RULES[name].pattern}, got {value!r}; write another name for it, such "
                f"as {_suggestion(name, value)!r}"
            )
    return Partition(values)


def _suggestion(name: str, value: str) -> str:
    cased = value if name == "run" else value.upper() if name == "symbol" else value.lower()
    defaults = {"symbol": "BTCUSDT", "run": "run"}
    return re.sub(r"[^A-Za-z0-9._-]+", "-", cased).strip("._-") or defaults.get(name, "bybit")
