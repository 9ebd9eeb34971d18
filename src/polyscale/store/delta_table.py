"""One Delta table, read and merged by partition: the only file that talks to ``deltalake``.

Reading takes the list of live files from Delta's log and hands them to polars. Writing compares first and
merges the difference only, so that writing the same again makes no version. Two writers at once: the loser
of the commit compares again with what the winner left.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from polyscale.market.errors import NotStoredError, StoreError
from polyscale.store.changes import Changes, changes_between
from polyscale.store.layout import CONFIGURATION, STORED_TIME, Layout, Partition

_NUM_ATTEMPTS: Final = 6
_FIRST_PAUSE_S: Final = 0.05  # doubled at each attempt: 1.6 s in all
_READER_VERSION: Final = 1  # above it lie deletion vectors and column mapping, which polars would not see


@dataclass(frozen=True)
class PartitionedTable:
    """A table of one layout at a place; nothing is opened or made before it is needed."""

    uri: str
    layout: Layout
    storage_options: Mapping[str, str] | None = None

    @property
    def is_local(self) -> bool:
        """Whether it lies on this machine's file system."""
        return "://" not in self.uri

    def open(self, version: int | None = None) -> DeltaTable | None:
        """Open the table as it is now or was at a version; None if nothing has ever been written.

        Raises
        ------
        NotStoredError
            If there is no such version.
        StoreError
            If the table is damaged, or another program's.
        """
        with self._failures_named():
            try:
                table = DeltaTable(self.uri, storage_options=self._options())
            except TableNotFoundError:
                self._refuse_lost_log()
                return None
            self._check_kind(table)
            latest = table.version()
            if version is not None and not 0 <= version <= latest:
                raise NotStoredError(
                    f"the table {self.uri} has the versions 0 to {latest}, got {version}; name one of them"
                )
            if version is not None:
                table.load_as_version(version)
            return table

    def read(
        self,
        table: DeltaTable,
        partition: Partition,
        after: datetime | None = None,
        until: datetime | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Read the rows with ``after < time <= until``, sorted, in the contract's types."""
        columns = list(columns or self.layout.values)
        key = pl.col(self.layout.time)
        limits = [(">", after), ("<=", until)]
        filters = [*partition.filters(), *((self.layout.time, op, at) for op, at in limits if at is not None)]
        with self._failures_named():
            files = table.file_uris(file_pruning_predicate=filters)
            if not files:
                return self.layout.values.to_frame().select(columns)
            rows = pl.read_parquet(
                [unquote(file) for file in files] if self.is_local else files,
                columns=columns,
                hive_partitioning=False,
                glob=False,
                storage_options=self._options(),
            )
            rows = rows.select(pl.col(name).cast(self.layout.values[name]) for name in columns)
        rows = rows.filter(*([key > after] if after else []), *([key <= until] if until else []))
        return self._sorted(rows, partition)

    def upsert(self, partition: Partition, rows: pl.DataFrame) -> Changes:
        """Insert new rows and update those that differ; no commit if there are none.

        Raises
        ------
        StoreError
            If other writers were faster in every attempt, or the table is damaged.
        """
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, _NUM_ATTEMPTS + 1):
            try:
                return self._upsert_once(partition, rows)
            except CommitFailedError as error:
                if attempt == _NUM_ATTEMPTS:
                    raise StoreError(
                        f"{partition} must be written to {self.uri} within {_NUM_ATTEMPTS} attempts, got a "
                        f"conflict with another writer in each ({_first_line(error)}); try again later"
                    ) from error
            time.sleep(pause_s)
            pause_s *= 2
        raise AssertionError("the last attempt returns or raises")

    def _upsert_once(self, partition: Partition, rows: pl.DataFrame) -> Changes:
        table = self.open()
        stored = self.layout.values.to_frame()
        if table is not None:
            stored = self.read(table, partition, *_span(rows[self.layout.time]))
        changes = changes_between(stored, rows, self.layout)
        if not changes.rows.is_empty():
            with self._failures_named():
                self._merge(table or self._create(), partition, changes.rows)
        return changes

    def _create(self) -> DeltaTable:
        DeltaTable.create(
            self.uri,
            schema=self.layout.schema(),
            partition_by=list(self.layout.partitions),
            mode="ignore",  # another writer may have been faster
            configuration=CONFIGURATION,
            storage_options=self._options(),
        )
        return DeltaTable(self.uri, storage_options=self._options())

    def _merge(self, table: DeltaTable, partition: Partition, rows: pl.DataFrame) -> None:
        """Merge on the snapshot that was compared: rows that others added since make the commit fail."""
        key = self.layout.time
        after, until = _span(rows[key])
        source = rows.with_columns(
            pl.col(key).cast(STORED_TIME), *(pl.lit(value).alias(name) for name, value in partition.values)
        )
        within = f"t.{key} > '{after.isoformat()}' AND t.{key} <= '{until.isoformat()}'"
        merger = table.merge(
            source,
            predicate=f"{partition.where('t')} AND {within} AND s.{key} = t.{key}",
            source_alias="s",
            target_alias="t",
        )
        merger.when_matched_update_all().when_not_matched_insert_all().execute()

    def _sorted(self, rows: pl.DataFrame, partition: Partition) -> pl.DataFrame:
        key = self.layout.time
        rows = rows if rows[key].is_sorted() else rows.sort(key)
        if (rows[key] == rows[key].shift(1)).any():
            raise StoreError(
                f"{self.uri} must hold each {key} of {partition} once, got doubled rows: another "
                f"program wrote there; read an older version, or import into a new store"
            )
        return rows

    def _check_kind(self, table: DeltaTable) -> None:
        wanted = {field.name for field in self.layout.schema().fields}
        found = {field.name for field in table.schema().fields}
        partitions, reader = table.metadata().partition_columns, table.protocol().min_reader_version
        if not wanted <= found or tuple(partitions) != self.layout.partitions or reader > _READER_VERSION:
            raise StoreError(
                f"{self.uri} must be a table of {self.layout.name} with columns {sorted(wanted)} partitioned "
                f"by {list(self.layout.partitions)} for readers of version {_READER_VERSION}, got columns "
                f"{sorted(found)} partitioned by {partitions} for version {reader}; choose another folder"
            )

    def _refuse_lost_log(self) -> None:
        if self.is_local and next(Path(self.uri).rglob("*.parquet"), None) is not None:
            raise StoreError(
                f"{self.uri} must have a _delta_log, got Parquet files without it; restore it from a backup, "
                f"or move the folder away and import again"
            )

    def _options(self) -> dict[str, str] | None:
        return dict(self.storage_options) if self.storage_options else None

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        """Say which table failed; a conflict of writers goes through to `upsert`."""
        try:
            yield
        except CommitFailedError:
            raise
        except (DeltaError, pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise StoreError(
                f"the table {self.uri} must be readable and writable, got: {_first_line(error)}; restore the "
                f"folder from a backup, or move it away and import again"
            ) from error


def _span(times: pl.Series) -> tuple[datetime, datetime]:
    """The half-open span ``(after, until]`` that just covers the times."""
    ends = pl.DataFrame({"time": times}).select(
        after=pl.col("time").min().dt.offset_by("-1ms"), until=pl.col("time").max()
    )
    after, until = ends.row(0)
    return after, until


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
