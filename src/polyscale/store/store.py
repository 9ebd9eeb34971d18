"""The store: every bar and funding rate that was ever imported, in two Delta tables.

In: checked bars and funding of a market, written as often as one likes. Out: the same rows, sorted, now or
as they were at a version. Stands between exchange and scales; nothing is ever vacuumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl
from deltalake import DeltaTable

from polyscale.market.bars import TIME, Market, check_bars, check_funding
from polyscale.market.errors import ConfigError, DataError, NotStoredError, StoreError
from polyscale.market.timeframe import Timeframe
from polyscale.store.changes import Changes
from polyscale.store.delta_table import PartitionedTable
from polyscale.store.gaps import gaps_between
from polyscale.store.layout import BARS, FUNDING, Layout, Partition, bars_partition, funding_partition

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
        "num_gaps": pl.Int64(),
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
    """Versions of the two tables; None while a table does not exist."""

    bars: int | None
    funding: int | None


class Store:
    """A folder (or an ``s3://`` prefix) of bars and funding rates.

    Parameters
    ----------
    root
        Where it lies; made by the first write.
    storage_options
        Keys of the object store, as ``deltalake`` takes them; absent for a local folder.

    Raises
    ------
    ConfigError
        If a local path holds a character that Delta cannot address.
    """

    def __init__(self, root: Path | str, storage_options: Mapping[str, str] | None = None) -> None:
        self.root = str(root).rstrip("/") if "://" in str(root) else str(Path(root).absolute())
        unsafe = [mark for mark in _UNSAFE_IN_PATHS if mark in self.root]
        if unsafe and "://" not in self.root:
            raise ConfigError(
                f"the store's path must be free of {list(_UNSAFE_IN_PATHS)}, got {self.root!r}; choose "
                f"another"
            )
        self._bars = PartitionedTable(f"{self.root}/{BARS.name}", BARS, storage_options)
        self._funding = PartitionedTable(f"{self.root}/{FUNDING.name}", FUNDING, storage_options)

    def write_bars(self, market: Market, timeframe: Timeframe, bars: pl.DataFrame) -> WriteResult:
        """Merge bars by close time; writing the same bars again changes nothing and makes no version.

        A bar whose numbers differ from the stored ones is a revision: it is updated and counted. A null
        turnover beside equal numbers revises nothing.

        Raises
        ------
        DataError
            If the frame breaks the contract of bars.
        ConfigError
            If a name of the market cannot be stored.
        StoreError
            If the table is damaged, or other writers kept being faster.
        """
        return _write(self._bars, bars_partition(market, timeframe), check_bars(bars, timeframe))

    def write_funding(self, market: Market, funding: pl.DataFrame) -> WriteResult:
        """Merge funding rates by time; rules and errors as for `write_bars`."""
        return _write(self._funding, funding_partition(market), check_funding(funding))

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
            return check_funding(_read(self._funding, funding_partition(market), version, start, end))

    def version(self) -> DataVersion:
        """Versions of the tables as they are now."""
        bars, funding = self._bars.open(), self._funding.open()
        return DataVersion(bars.version() if bars else None, funding.version() if funding else None)

    def gaps(self, market: Market, timeframe: Timeframe) -> pl.DataFrame:
        """List the holes between the first and the last stored bar, as `gaps_between` does."""
        table, partition = self._bars.open(), bars_partition(market, timeframe)
        times = self._bars.read(table, partition, columns=[BARS.time]) if table else pl.DataFrame()
        if table is None or times.is_empty():
            raise _not_stored(self._bars, partition, table, None)
        return gaps_between(times[BARS.time], timeframe)

    def contents(self) -> pl.DataFrame:
        """List every stored series of bars: rows, first and last close, number of gaps, missing bars."""
        table = self._bars.open()
        series = _stored_partitions(table, BARS) if table else []
        rows = [self._describe(table, partition) for partition in series if table]
        return pl.DataFrame(rows, _CONTENTS_SCHEMA, orient="row")

    def _describe(self, table: DeltaTable, partition: Partition) -> tuple[object, ...]:
        times = self._bars.read(table, partition, columns=[BARS.time])[BARS.time]
        names = [value for _, value in partition.values]
        missing = gaps_between(times, Timeframe.parse(names[-1]))["missing_bars"]
        return (*names, len(times), times[0], times[-1], len(missing), missing.sum())


def _write(table: PartitionedTable, partition: Partition, rows: pl.DataFrame) -> WriteResult:
    if rows.is_empty():
        return WriteResult(0, 0, 0)
    changes: Changes = table.upsert(partition, rows)
    return WriteResult(changes.num_inserted, changes.num_updated, changes.num_unchanged)


def _read(
    table: PartitionedTable,
    partition: Partition,
    version: int | None,
    start: datetime | None,
    end: datetime | None,
) -> pl.DataFrame:
    for name, limit in (("start", start), ("end", end)):
        if limit is not None and limit.tzinfo is None:
            raise ConfigError(f"{name} must have a time zone, got {limit}; write it with tzinfo=UTC")
    opened = table.open(version)
    if opened is not None:
        rows = table.read(opened, partition, start, end)
        if not rows.is_empty():
            return rows
        held = table.read(opened, partition, columns=[table.layout.time])[table.layout.time]
        if len(held):
            raise NotStoredError(
                f"the store {table.uri} holds {partition} from {held[0]} to {held[-1]}, got the span {start} "
                f"to {end}; choose a span within, or bring in more with `polyscale import`"
            )
    raise _not_stored(table, partition, opened, version)


@contextmanager
def _damage_named(table: PartitionedTable) -> Iterator[None]:
    """Parquet here has no checksums: a broken contract is the sign of a damaged file that can be seen."""
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
    held = [str(series) for series in _stored_partitions(opened, table.layout)] if opened else []
    more = f" and {len(held) - _NUM_NAMED} more" if len(held) > _NUM_NAMED else ""
    at = "" if version is None else f" at version {version}"
    return NotStoredError(
        f"the store must hold {table.layout.name} of {partition}{at}, got "
        f"{', '.join(held[:_NUM_NAMED]) or 'nothing'}{more} ({table.uri}); bring it in with "
        f"`polyscale import`"
    )


def _stored_partitions(table: DeltaTable, layout: Layout) -> list[Partition]:
    """Every series that has a file, sorted by name and then by length of the bar."""
    found = {tuple((name, str(row[name])) for name in layout.partitions) for row in table.partitions()}

    def order(values: tuple[tuple[str, str], ...]) -> tuple[object, ...]:
        names = [value for _, value in values]
        return (*names[:3], *(Timeframe.parse(name) for name in names[3:]))

    return [Partition(values) for values in sorted(found, key=order)]
