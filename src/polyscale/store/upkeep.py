"""What keeps a store in order: fewer files, no files that nobody needs, a look at every row.

Versions that runs name are pinned, and what a pinned version reads is never deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from polyscale.market.bars import Market, check_bars
from polyscale.market.errors import DataError, StoreError
from polyscale.market.order_rules import OrderRules
from polyscale.market.timeframe import Timeframe
from polyscale.store.delta_table import DataFile, PartitionedTable
from polyscale.store.layout import (
    ABSENT,
    BARS,
    FUNDING,
    ORDER_RULES,
    PINS,
    QUARANTINE,
    REVISIONS,
    Partition,
    bars_partition,
    run_partition,
)
from polyscale.store.store import DataVersion, Store, stored_partitions

RETENTION_HOURS: Final = 168  # a reader or a writer that has begun is done by then
TABLES: Final = (BARS, FUNDING, ORDER_RULES, ABSENT, QUARANTINE, REVISIONS, PINS)
_UNPINNED: Final = (ORDER_RULES,)  # a few rows, of which nothing is ever deleted: no run need pin them


class Damage(NamedTuple):
    """A file that does not hold what was written."""

    table: str
    partition: Partition
    path: str
    num_rows: int
    first: datetime  # times of its rows, as the table's log has them
    last: datetime
    reason: str

    @property
    def series(self) -> str:
        """Whose rows they are, as people write it."""
        return str(self.partition)


def pin(store: Store, run: str, version: DataVersion) -> None:
    """Keep what a run read for as long as the store lives; twice changes nothing."""
    row = {"pinned_time": datetime.now(UTC), "bars": version.bars, "funding": version.funding}
    if replace(version, order_rules=None) not in pins(store).get(run, []):
        store.table(PINS).upsert({run_partition(run): pl.DataFrame([row], PINS.values)})


def pins(store: Store) -> dict[str, list[DataVersion]]:
    """The pinned versions by run; those of order rules stay readable without a pin and are not in them."""
    table = store.table(PINS)
    opened = table.open()
    runs = sorted({row["run"] for row in opened.partitions()}) if opened else []
    return {
        run: [
            DataVersion(bars, funding)
            for _, bars, funding in table.read(opened, run_partition(run)).iter_rows()
        ]
        for run in runs
        if opened
    }


def compact(store: Store, market: Market, timeframe: Timeframe, above: int = 1) -> int:
    """Rewrite a series, and what is noted of it, as few sorted files where there are more than ``above``.

    Returns the number of files of bars that there were.
    """
    partition = bars_partition(market, timeframe)
    for layout in (ABSENT, QUARANTINE, REVISIONS):
        store.table(layout).compact(partition, above)
    return store.table(BARS).compact(partition, above)


def vacuum(store: Store, retention_hours: int = RETENTION_HOURS) -> int:
    """Delete files that neither the newest nor a pinned version reads; how many they were.

    Versions that no run names can no longer be read afterwards, if they are older than ``retention_hours``.
    """
    pinned = [version for versions in pins(store).values() for version in versions]
    kept = {
        BARS.name: {version.bars for version in pinned if version.bars is not None},
        FUNDING.name: {version.funding for version in pinned if version.funding is not None},
    }
    vacuumed = [store.table(layout) for layout in TABLES if layout not in _UNPINNED]
    return sum(table.vacuum(kept.get(table.layout.name, set()), retention_hours) for table in vacuumed)


def verify(store: Store, progress: Callable[[int, int], None] = lambda done, of: None) -> list[Damage]:
    """Read every file that a table has now: each row's seal, the number of rows, the contract of bars.

    Parameters
    ----------
    progress
        Called with files done and files in all.

    Raises
    ------
    StoreError
        If a table itself cannot be opened.
    """
    files = [found for layout in TABLES for found in _files(store.table(layout))]
    damages = []
    for number, (table, partition, file) in enumerate(files, 1):
        reason = _fault_of(table, partition, file)
        if reason:
            facts = (file.path, file.num_rows, file.first, file.last)
            damages.append(Damage(table.layout.name, partition, *facts, reason))
        progress(number, len(files))
    return damages


def _files(table: PartitionedTable) -> list[tuple[PartitionedTable, Partition, DataFile]]:
    opened = table.open()
    if opened is None:
        return []
    partitions = stored_partitions(opened, table.layout)
    return [(table, each, file) for each in partitions for file in table.files(opened, each)]


def _fault_of(table: PartitionedTable, partition: Partition, file: DataFile) -> str:
    """What is wrong with a file, nothing if it is sound."""
    try:
        rows = table.read_file(file, partition).sort(table.layout.time)
        if table.layout is BARS:
            check_bars(rows, Timeframe.parse(dict(partition.values)["timeframe"]))
        if table.layout is ORDER_RULES:
            for row in rows.drop(ORDER_RULES.time).iter_rows():
                OrderRules(*row)
    except (StoreError, DataError) as error:
        return str(error)
    if rows.height != file.num_rows:
        return f"holds {rows.height} rows, {file.num_rows} were written"
    return ""


def replace_file(store: Store, damage: Damage, rows: pl.DataFrame | None = None) -> int:
    """Move a damaged file out of its table, and write back what is sound of it and what was brought again.

    The file is kept under ``damaged/`` in the store's folder.

    Parameters
    ----------
    rows
        In the table's columns; absent where nothing was brought. They go before the file's own.

    Returns
    -------
    int
        How many rows are back.

    Raises
    ------
    StoreError
        If the store lies in an object store, where this cannot be done.
    """
    table = next(store.table(layout) for layout in TABLES if layout.name == damage.table)
    if not table.is_local:
        raise StoreError(
            f"damaged files must lie on this machine to be set aside, got {store.root}; remove them there, "
            f"then fetch into a new store"
        )
    layout, partition = table.layout, damage.partition
    sound = table.sound_rows(damage.path, partition)
    table.set_aside([damage.path], Path(store.root) / "damaged" / layout.name)
    brought = layout.values.to_frame() if rows is None else rows
    back = pl.concat([brought, sound.join(brought, on=layout.time, how="anti")]).sort(layout.time)
    if back.is_empty():
        return 0
    if layout.is_unique:
        return table.upsert({partition: back})[partition].num_inserted
    table.append(partition, back)
    return back.height
