"""What keeps a store in order: fewer files, no files that nobody needs, a look at every row.

Versions that runs name are pinned, and what a pinned version reads is never deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from polyscale.market.bars import Market, check_bars
from polyscale.market.errors import DataError, StoreError
from polyscale.market.timeframe import Timeframe
from polyscale.store.layout import (
    ABSENT,
    BARS,
    FUNDING,
    PINS,
    QUARANTINE,
    REVISIONS,
    bars_partition,
    run_partition,
)
from polyscale.store.store import DataVersion, Store

RETENTION_HOURS: Final = 168  # a reader or a writer that has begun is done by then
_TABLES: Final = (BARS, FUNDING, ABSENT, QUARANTINE, REVISIONS, PINS)


class Damage(NamedTuple):
    """A file of a series that does not hold what was written."""

    path: str
    num_rows: int
    first_close_time: datetime
    last_close_time: datetime
    reason: str


def pin(store: Store, run: str, version: DataVersion) -> None:
    """Keep what a run read for as long as the store lives; twice changes nothing."""
    row = {"pinned_time": datetime.now(UTC), "bars": version.bars, "funding": version.funding}
    if version not in pins(store).get(run, []):
        store.table(PINS).upsert({run_partition(run): pl.DataFrame([row], PINS.values)})


def pins(store: Store) -> dict[str, list[DataVersion]]:
    """The pinned versions by run."""
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
    """Rewrite the bars of a series as few sorted files if there are more than ``above``; how many."""
    return store.table(BARS).compact(bars_partition(market, timeframe), above)


def vacuum(store: Store, retention_hours: int = RETENTION_HOURS) -> int:
    """Delete files that neither the newest nor a pinned version reads; how many they were.

    Versions that no run names can no longer be read afterwards, if they are older than ``retention_hours``.
    """
    pinned = [version for versions in pins(store).values() for version in versions]
    kept = {
        BARS.name: {version.bars for version in pinned if version.bars is not None},
        FUNDING.name: {version.funding for version in pinned if version.funding is not None},
    }
    return sum(
        store.table(layout).vacuum(kept.get(layout.name, set()), retention_hours) for layout in _TABLES
    )


def verify(
    store: Store, market: Market, timeframe: Timeframe, progress: Callable[[int, int], None] | None = None
) -> list[Damage]:
    """Read every file of a series again and check each row's seal, the contract, and the number of rows.

    Parameters
    ----------
    progress
        Called with files done and files in all.

    Raises
    ------
    StoreError
        If the table itself cannot be opened.
    """
    table, partition = store.table(BARS), bars_partition(market, timeframe)
    opened, damages = table.open(), []
    files = table.files(opened, partition) if opened else []
    for number, file in enumerate(files, 1):
        try:
            rows = check_bars(table.read_file(file, partition).sort(BARS.time), timeframe)
            reason = f"holds {rows.height} rows, {file.num_rows} were written"
            is_sound = rows.height == file.num_rows
        except (StoreError, DataError) as error:
            is_sound, reason = False, str(error)
        if not is_sound:
            damages.append(Damage(file.path, file.num_rows, file.first, file.last, reason))
        if progress:
            progress(number, len(files))
    return damages


def set_aside(store: Store, damages: list[Damage]) -> None:
    """Move damaged files out of the table: their bars are missing then, and can be fetched again.

    The files are kept under ``damaged/`` in the store's folder.

    Raises
    ------
    StoreError
        If the store lies in an object store, where this cannot be done.
    """
    table = store.table(BARS)
    if not table.is_local:
        raise StoreError(
            f"damaged files must lie on this machine to be set aside, got {store.root}; remove them there, "
            f"then fetch into a new store"
        )
    table.set_aside([damage.path for damage in damages], Path(store.root) / "damaged" / BARS.name)
