"""One Delta table, read and merged by partition: the only file that talks to ``deltalake``.

Reading takes the list of live files from Delta's log and hands them to polars. Writing compares first and
merges the difference only, so that writing the same again makes no version. Two writers at once: the loser
of the commit compares again with what the winner left. Every row is sealed when it is written, and the seal
is checked whenever whole rows are read.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple, TypeVar
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from polyscale.market.errors import NotStoredError, StoreError
from polyscale.store.changes import Changes, changes_between
from polyscale.store.layout import CONFIGURATION, Layout, Partition
from polyscale.store.object_store import Options, delta_options, failure, polars_options
from polyscale.store.seal import SEAL, seal_of

_T = TypeVar("_T")
_NUM_ATTEMPTS: Final = 6
_FIRST_PAUSE_S: Final = 0.05  # doubled at each attempt: 1.6 s in all
# row groups are read in parallel
_COMPACTED: Final = WriterProperties(compression="SNAPPY", max_row_group_size=65_536)
_READER_VERSION: Final = 1  # above it lie deletion vectors and column mapping, which polars would not see


class DataFile(NamedTuple):
    """One Parquet file of a series, as Delta's log has it."""

    path: str
    num_rows: int
    first: datetime
    last: datetime


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
    ) -> pl.DataFrame:
        """Read the rows with ``after < time <= until``, sorted, in the contract's types, seals checked."""
        rows = self._read(table, partition, [*self.layout.values, SEAL], after, until)
        return self._sorted(self._unsealed(rows, partition), partition)

    def read_times(self, table: DeltaTable, partition: Partition) -> pl.Series:
        """Read the times alone, sorted."""
        times = self._read(table, partition, [self.layout.time])
        return self._sorted(times, partition)[self.layout.time]

    def files(self, table: DeltaTable, partition: Partition) -> list[DataFile]:
        """List the live files of a series, oldest rows first."""
        ends = [f"{end}.{self.layout.time}" for end in ("min", "max")]
        added = pl.DataFrame(table.get_add_actions(flatten=True))
        mine = added.filter(pl.col(f"partition.{name}") == value for name, value in partition.values)
        rows = mine.sort(ends[0]).select("path", "num_records", *ends).iter_rows()
        return [DataFile(*row) for row in rows]

    def read_file(self, file: DataFile, partition: Partition) -> pl.DataFrame:
        """Read one file whole, its seals checked.

        Raises
        ------
        StoreError
            If it is missing, cannot be read, or holds other rows than were written.
        """
        with self._failures_named():
            rows = self._scan([f"{self.uri}/{file.path}"], [*self.layout.values, SEAL])
        return self._unsealed(rows, partition)

    def sound_rows(self, path: str, partition: Partition) -> pl.DataFrame:
        """What is as it was written in a damaged file; nothing if it cannot be read."""
        try:
            with self._failures_named():
                rows = self._scan([f"{self.uri}/{path}"], [*self.layout.values, SEAL])
        except StoreError:
            return self.layout.values.to_frame()
        values = rows.select(list(self.layout.values))
        return values.filter(seal_of(values, str(partition)) == rows[SEAL]).unique(keep="first")

    def upsert(
        self,
        rows: Mapping[Partition, pl.DataFrame],
        before: Callable[[Mapping[Partition, Changes]], None] = lambda changes: None,
    ) -> dict[Partition, Changes]:
        """Insert new rows and update those that differ, in one commit; none if nothing differs.

        ``before`` is called with what is about to change; again, if another writer was faster.

        Raises
        ------
        StoreError
            If other writers were faster in every attempt, or the table is damaged.
        """
        return self._retrying(rows, lambda: self._upsert_once(rows, before))

    def append(self, partition: Partition, rows: pl.DataFrame) -> None:
        """Add rows, whatever is there."""

        def write() -> None:
            with self._failures_named():
                write_deltalake(self._opened(), self.layout.as_stored(rows, partition), mode="append")

        self._retrying([partition], write)

    def compact(self, partition: Partition, above: int) -> int:
        """Rewrite a series as few files sorted by time, if it has more than so many; how many it had.

        As an overwrite and not as deltalake's optimize: of two of those at once both succeed, and every row
        stands there twice. An overwrite conflicts with whatever touched its files, and with new rows.
        """

        def rewrite() -> int:
            table = self.open()
            num_files = len(self.files(table, partition)) if table else 0
            if table is not None and num_files > above:
                rows = self.layout.as_stored(self.read(table, partition), partition)
                with self._failures_named():
                    write_deltalake(
                        table,
                        rows,
                        mode="overwrite",
                        predicate=partition.where(),
                        writer_properties=_COMPACTED,
                    )
            return num_files

        return self._retrying([partition], rewrite)

    def vacuum(self, keep_versions: Iterable[int], retention_hours: int) -> int:
        """Delete files older than so many hours that neither the newest nor a kept version names."""
        table = self.open()
        if table is None:
            return 0
        with self._failures_named():
            gone = table.vacuum(
                retention_hours,
                dry_run=False,
                enforce_retention_duration=False,
                keep_versions=sorted(keep_versions) or None,
            )
        return len(gone)

    def set_aside(self, paths: Iterable[str], to: Path) -> None:
        """Move damaged files out of the table, so that their rows are missing and can be written again."""
        for path in paths:
            here, there = Path(self.uri) / unquote(path), to / unquote(path)
            if here.exists():
                there.parent.mkdir(parents=True, exist_ok=True)
                here.replace(there)
        with self._failures_named():
            self._opened().repair()

    def _retrying(self, partitions: Iterable[Partition], act: Callable[[], _T]) -> _T:
        """Act again while other writers are faster."""
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, _NUM_ATTEMPTS + 1):
            try:
                return act()
            except CommitFailedError as error:
                if attempt == _NUM_ATTEMPTS:
                    raise StoreError(
                        f"{', '.join(map(str, partitions))} must be written to {self.uri} within "
                        f"{_NUM_ATTEMPTS} attempts, got a conflict with another writer in each "
                        f"({_first_line(error)}); try again later"
                    ) from error
            time.sleep(pause_s * random.uniform(0.5, 1.5))  # so that two losers do not meet again
            pause_s *= 2
        raise AssertionError("the last attempt returns or raises")

    def _upsert_once(
        self, rows: Mapping[Partition, pl.DataFrame], before: Callable[[Mapping[Partition, Changes]], None]
    ) -> dict[Partition, Changes]:
        table = self._opened()  # made first: what is compared is the snapshot on which is merged
        changes = {}
        for partition, incoming in rows.items():
            stored = self.read(table, partition, *_span(incoming[self.layout.time]))
            changes[partition] = changes_between(stored, incoming, self.layout)
        changed = {partition: each.rows for partition, each in changes.items() if not each.rows.is_empty()}
        if changed:
            before(changes)
            with self._failures_named():
                self._merge(table, changed)
        return changes

    def _merge(self, table: DeltaTable, rows: Mapping[Partition, pl.DataFrame]) -> None:
        """Merge on the snapshot that was compared: rows that others added since make the commit fail."""
        key = self.layout.time
        after, until = _span(pl.concat([each[key] for each in rows.values()]))
        where = " OR ".join(f"({partition.where('t')})" for partition in rows)
        within = f"t.{key} > '{after.isoformat()}' AND t.{key} <= '{until.isoformat()}'"
        same = " AND ".join(f"s.{name} = t.{name}" for name in (*self.layout.partitions, key))
        merger = table.merge(
            pl.concat([self.layout.as_stored(each, partition) for partition, each in rows.items()]),
            predicate=f"({where}) AND {within} AND {same}",
            source_alias="s",
            target_alias="t",
        )
        merger.when_matched_update_all().when_not_matched_insert_all().execute()

    def _opened(self) -> DeltaTable:
        """The table, made if there is none; another writer may make it first."""
        return self.open() or self._create()

    def _create(self) -> DeltaTable:
        with self._failures_named():
            DeltaTable.create(
                self.uri,
                schema=self.layout.schema(),
                partition_by=list(self.layout.partitions),
                mode="ignore",
                configuration=CONFIGURATION,
                storage_options=self._options(),
            )
            return DeltaTable(self.uri, storage_options=self._options())

    def _unsealed(self, rows: pl.DataFrame, partition: Partition) -> pl.DataFrame:
        values = rows.select(list(self.layout.values))
        broken = seal_of(values, str(partition)) != rows[SEAL]
        if broken.any():
            raise StoreError(
                f"{self.uri} must hold {partition} as it was written, got another checksum in "
                f"{broken.sum()} of {rows.height} rows, first at "
                f"{values[self.layout.time][int(broken.arg_true()[0])]}: files are damaged; see "
                f"`polyscale bars --verify`, or restore the folder from a backup"
            )
        return values

    def _read(
        self,
        table: DeltaTable,
        partition: Partition,
        columns: list[str],
        after: datetime | None = None,
        until: datetime | None = None,
    ) -> pl.DataFrame:
        key = pl.col(self.layout.time)
        with self._failures_named():
            files = [
                f"{self.uri}/{file.path}"  # in the order of their rows: what is read needs no sorting then
                for file in self.files(table, partition)
                if (after is None or file.last > after) and (until is None or file.first <= until)
            ]
            rows = self._scan(files, columns)
        return rows.filter(*([key > after] if after else []), *([key <= until] if until else []))

    def _scan(self, files: list[str], columns: list[str]) -> pl.DataFrame:
        kinds = {**self.layout.values, SEAL: pl.Int64()}
        if not files:
            return pl.DataFrame(schema={name: kinds[name] for name in columns})
        rows = pl.read_parquet(
            [unquote(file) for file in files] if self.is_local else files,
            columns=columns,
            hive_partitioning=False,
            glob=False,
            storage_options=polars_options(self.uri, self.storage_options),
            credential_provider=None,  # what polars finds by itself differs with the packages that are there
        )
        return rows.select(pl.col(name).cast(kinds[name]) for name in columns)

    def _sorted(self, rows: pl.DataFrame, partition: Partition) -> pl.DataFrame:
        key = self.layout.time
        rows = rows if rows[key].is_sorted() else rows.sort(key)
        if self.layout.is_unique and (rows[key] == rows[key].shift(1)).any():
            raise StoreError(
                f"{self.uri} must hold each {key} of {partition} once, got doubled rows: another "
                f"program wrote there; read an older version, or import into a new store"
            )
        return rows

    def _check_kind(self, table: DeltaTable) -> None:
        wanted = {field.name for field in self.layout.schema().fields}  # the seal among them
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

    def _options(self) -> Options | None:
        return delta_options(self.uri, self.storage_options)

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        """Say which table failed; a conflict of writers goes through to `_retrying`."""
        try:
            yield
        except CommitFailedError:
            raise
        except (DeltaError, pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise StoreError(failure(self.uri, error)) from error


def _span(times: pl.Series) -> tuple[datetime, datetime]:
    """The half-open span ``(after, until]`` that just covers the times."""
    ends = pl.DataFrame({"time": times}).select(
        after=pl.col("time").min().dt.offset_by("-1ms"), until=pl.col("time").max()
    )
    after, until = ends.row(0)
    return after, until


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
