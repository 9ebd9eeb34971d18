"""The store: every bar and funding rate that was ever brought in, in Delta tables.

In: checked bars, funding and order rules of a market, written as often as one likes. Out: the same rows,
sorted, now or as they were at a version. Stands between exchange and scales. What it knows beside the bars
is in `ledger`, what keeps it in order in `upkeep`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl
from deltalake import DeltaTable

from polyscale.market.bars import BAR_SCHEMA, TIME, Market, check_bars, check_funding
from polyscale.market.errors import ConfigError, DataError, NotStoredError, StoreError
from polyscale.market.order_rules import OrderRules
from polyscale.market.timeframe import Timeframe
from polyscale.store.changes import Changes
from polyscale.store.delta_table import PartitionedTable
from polyscale.store.layout import (
    BARS,
    FUNDING,
    ORDER_RULES,
    REVISIONS,
    Layout,
    Partition,
    bars_partition,
    market_partition,
)
from polyscale.store.object_store import delta_options

Series = tuple[Market, Timeframe]
_UNSAFE_IN_PATHS: Final = "%[]^|"  # deltalake 1.6 decodes the first and panics at the others
_NUM_NAMED = 12  # series listed in an error
_CONTENTS_SCHEMA: Final = pl.Schema(
    {
        "venue": pl.String(),
        "category": pl.String(),
        "symbol": pl.String(),
        "timeframe": pl.String(),
        "rows": pl.Int64(),
        "first_close_time": TIME,
        "last_close_time": TIME,
        "missing_bars": pl.Int64(),
    }
)


@dataclass(frozen=True)
class WriteResult:
    """How many of the rows written were new, were revised, were there already."""

    inserted: int
    updated: int
    unchanged: int


@dataclass(frozen=True)
class DataVersion:
    """Versions of the tables that runs read; None while a table does not exist."""

    bars: int | None
    funding: int | None
    order_rules: int | None = None


class Store:
    """A folder (or an ``s3://`` prefix) of bars and funding rates.

    Parameters
    ----------
    root
        Where it lies; made by the first write.
    storage_options
        Keys, region, endpoint of the object store, as ``deltalake`` takes them, before those of the
        environment (``AWS_ACCESS_KEY_ID`` ...); absent for a local folder.

    Raises
    ------
    ConfigError
        If a local path holds a character that Delta cannot address, or an option makes two writers unsafe.
    """

    def __init__(self, root: Path | str, storage_options: Mapping[str, str] | None = None) -> None:
        self.root = str(root).rstrip("/") if "://" in str(root) else str(Path(root).absolute())
        unsafe = [mark for mark in _UNSAFE_IN_PATHS if mark in self.root]
        if unsafe and "://" not in self.root:
            raise ConfigError(
                f"the store's path must be free of {list(_UNSAFE_IN_PATHS)}, got {self.root!r}; choose "
                f"another"
            )
        delta_options(self.root, storage_options)  # refuses unsafe ones at once
        self._storage_options = storage_options
        self._bars, self._funding = self.table(BARS), self.table(FUNDING)
        self._order_rules = self.table(ORDER_RULES)

    def table(self, layout: Layout) -> PartitionedTable:
        """One of its tables, for the other files of this package."""
        return PartitionedTable(f"{self.root}/{layout.name}", layout, self._storage_options)

    def write_bars(self, market: Market, timeframe: Timeframe, bars: pl.DataFrame) -> WriteResult:
        """Merge bars by close time; writing the same bars again changes nothing and makes no version.

        A bar whose numbers differ from the stored ones is a revision: it is updated and counted, and what it
        was before is kept (`ledger.read_revisions`). A null turnover beside equal numbers revises nothing.

        Raises
        ------
        DataError
            If the frame breaks the contract of bars.
        ConfigError
            If a name of the market cannot be stored.
        StoreError
            If the table is damaged, or other writers kept being faster.
        """
        return self.write_series({(market, timeframe): bars})[market, timeframe]

    def write_series(self, bars: Mapping[Series, pl.DataFrame]) -> dict[Series, WriteResult]:
        """Merge bars of several series in one commit, as `write_bars` does."""
        rows = {
            bars_partition(*series): check_bars(frame, series[1])
            for series, frame in bars.items()
            if not frame.is_empty()
        }
        changes = self._bars.upsert(rows, self._keep_replaced) if rows else {}
        return {series: _counts(changes.get(bars_partition(*series))) for series in bars}

    def _keep_replaced(self, changes: Mapping[Partition, Changes]) -> None:
        """Note what bars were before they are overwritten: a kill leaves a note too many, not a loss."""
        for partition, each in changes.items():
            if each.num_updated:
                revised_time = pl.lit(datetime.now(UTC)).cast(TIME)
                self.table(REVISIONS).append(partition, each.replaced.with_columns(revised_time=revised_time))

    def write_funding(self, market: Market, funding: pl.DataFrame) -> WriteResult:
        """Merge funding rates by time; rules and errors as for `write_bars`."""
        partition, funding = market_partition(market), check_funding(funding)
        return _counts(self._funding.upsert({partition: funding})[partition] if funding.height else None)

    def write_order_rules(self, market: Market, rules: OrderRules, time: datetime) -> WriteResult:
        """Note what a venue demands of orders from ``time`` on.

        What the newest note says already changes nothing and makes no version.

        Raises
        ------
        ConfigError
            If the time has no zone, or a name of the market cannot be stored.
        StoreError
            If the table is damaged, or other writers kept being faster.
        """
        _check_zone("time", time)
        if self.read_order_rules(market) == rules:
            return WriteResult(0, 0, 1)
        row = pl.DataFrame([{"time": time, **asdict(rules)}], ORDER_RULES.values)
        partition = market_partition(market)
        return _counts(self._order_rules.upsert({partition: row})[partition])

    def read_bars(
        self,
        market: Market,
        timeframe: Timeframe,
        version: int | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> pl.DataFrame:
        """Read bars with ``start < close_time <= end``, sorted: those that lie between the two instants.

        Parameters
        ----------
        version
            Of the table of bars; absent for what it holds now.
        start, end
            Instants with a zone; absent for no limit.

        Raises
        ------
        NotStoredError
            If there is no such bar or version; names what there is.
        ConfigError
            If a limit has no zone, or a name of the market cannot be stored.
        StoreError
            If the table is damaged.
        """
        with _damage_named(self._bars):
            rows = _read(self._bars, bars_partition(market, timeframe), version, start, end)
            return check_bars(rows, timeframe)

    def read_funding(
        self,
        market: Market,
        version: int | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> pl.DataFrame:
        """Read funding rates with ``start < time <= end``, sorted; errors as for `read_bars`."""
        with _damage_named(self._funding):
            return check_funding(_read(self._funding, market_partition(market), version, start, end))

    def read_order_rules(self, market: Market, version: int | None = None) -> OrderRules | None:
        """Read the newest order rules of a market, None if none were stored; errors as for `read_bars`."""
        with _damage_named(self._order_rules):
            opened, partition = self._order_rules.open(version), market_partition(market)
            rows = self._order_rules.read(opened, partition) if opened else ORDER_RULES.values.to_frame()
            return None if rows.is_empty() else OrderRules(*rows.drop(ORDER_RULES.time).row(-1))

    def version(self) -> DataVersion:
        """Versions of the tables as they are now."""
        opened = [table.open() for table in (self._bars, self._funding, self._order_rules)]
        return DataVersion(*(table.version() if table else None for table in opened))

    def close_times(self, market: Market, timeframe: Timeframe) -> pl.Series:
        """When the stored bars of a series close, sorted; empty if there are none."""
        table = self._bars.open()
        if table is None:
            return pl.Series(BARS.time, [], BAR_SCHEMA[BARS.time])
        return self._bars.read_times(table, bars_partition(market, timeframe))

    def series(self) -> list[Series]:
        """Every stored series of bars, sorted by name and then by length of the bar."""
        table = self._bars.open()
        found = [dict(partition.values) for partition in stored_partitions(table, BARS)] if table else []
        return [
            (Market(one["venue"], one["category"], one["symbol"]), Timeframe.parse(one["timeframe"]))
            for one in found
        ]

    def contents(self) -> pl.DataFrame:
        """List every stored series of bars: rows, first and last close, bars missing between them."""
        rows = [self._describe(market, timeframe) for market, timeframe in self.series()]
        return pl.DataFrame(rows, _CONTENTS_SCHEMA, orient="row")

    def _describe(self, market: Market, timeframe: Timeframe) -> tuple[object, ...]:
        times = self.close_times(market, timeframe)
        first_ms, last_ms = (times.dt.epoch("ms")[at] for at in (0, -1))
        missing = (last_ms - first_ms) // timeframe.ms + 1 - len(times)
        names = (market.venue, market.category, market.symbol, str(timeframe))
        return (*names, len(times), times[0], times[-1], missing)


def _counts(changes: Changes | None) -> WriteResult:
    if changes is None:
        return WriteResult(0, 0, 0)
    return WriteResult(changes.num_inserted, changes.num_updated, changes.num_unchanged)


def _read(
    table: PartitionedTable,
    partition: Partition,
    version: int | None,
    start: datetime | None,
    end: datetime | None,
) -> pl.DataFrame:
    for name, limit in (("start", start), ("end", end)):
        if limit is not None:
            _check_zone(name, limit)
    opened = table.open(version)
    if opened is not None:
        rows = table.read(opened, partition, start, end)
        if not rows.is_empty():
            return rows
        held = table.read_times(opened, partition)
        if len(held):
            raise NotStoredError(
                f"the store {table.uri} holds {partition} from {held[0]} to {held[-1]}, got the span {start} "
                f"to {end}; choose a span within, or bring in more with `polyscale fetch` or `import`"
            )
    raise _not_stored(table, partition, opened, version)


def _check_zone(name: str, instant: datetime) -> None:
    if instant.tzinfo is None:
        raise ConfigError(f"{name} must have a time zone, got {instant}; write it with tzinfo=UTC")


@contextmanager
def _damage_named(table: PartitionedTable) -> Iterator[None]:
    """Sealed rows that break the contract were written by another program."""
    try:
        yield
    except DataError as error:
        raise StoreError(
            f"the table {table.uri} must hold what was written, got {error}; restore the folder from a "
            f"backup, or import into a new store"
        ) from error


def _not_stored(
    table: PartitionedTable, partition: Partition, opened: DeltaTable | None, version: int | None
) -> NotStoredError:
    held = [str(series) for series in stored_partitions(opened, table.layout)] if opened else []
    more = f" and {len(held) - _NUM_NAMED} more" if len(held) > _NUM_NAMED else ""
    at = "" if version is None else f" at version {version}"
    return NotStoredError(
        f"the store must hold {table.layout.name} of {partition}{at}, got "
        f"{', '.join(held[:_NUM_NAMED]) or 'nothing'}{more} ({table.uri}); bring it in with "
        f"`polyscale fetch` or `polyscale import`"
    )


def stored_partitions(table: DeltaTable, layout: Layout) -> list[Partition]:
    """Every series that has a file, sorted by name and then by length of the bar."""
    found = {tuple((name, str(row[name])) for name in layout.partitions) for row in table.partitions()}

    def order(values: tuple[tuple[str, str], ...]) -> list[object]:
        return [Timeframe.parse(value) if name == "timeframe" else value for name, value in values]

    return [Partition(values) for values in sorted(found, key=order)]
