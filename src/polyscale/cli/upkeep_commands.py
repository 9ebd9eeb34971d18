"""``polyscale bars --verify`` and ``polyscale compact``: a look at every row, and fewer files."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyscale.cli.options import STORE, JsonOption, StoreOption
from polyscale.market.errors import ConfigError

if TYPE_CHECKING:
    from polyscale.store.store import Series, Store
    from polyscale.store.upkeep import Damage


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("compact", epilog="Example: polyscale compact --vacuum")(compact)


def compact(
    vacuum: Annotated[
        bool, typer.Option("--vacuum", help="Delete files older than a week that no run and no reader needs.")
    ] = False,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Rewrite series of many small files as few, as a long stream leaves them.

    Versions that runs name stay readable, with --vacuum as well; other old versions do not.
    """
    from polyscale.cli import console
    from polyscale.store.store import Store
    from polyscale.store.upkeep import compact as compact_series
    from polyscale.store.upkeep import vacuum as vacuum_store

    held = Store(store)
    rows = [
        (f"{market} {timeframe}", compact_series(held, market, timeframe))
        for market, timeframe in held.series()
    ]
    num_deleted = vacuum_store(held) if vacuum else None
    if as_json:
        console.print_json({"files_before": dict(rows), "deleted": num_deleted})
        return
    console.table(
        f"compacted in {store}", ["bars", "files before"], [[name, f"{num:,}"] for name, num in rows]
    )
    if num_deleted is not None:
        console.out.print(f"{num_deleted:,} files deleted that nothing needs", highlight=False)


def verify_bars(store: Store, url: str | None, *, refetch: bool, as_json: bool) -> None:
    """Check every row of the store, show what is damaged, and fetch it again if that is asked for.

    Exit status 1 if anything is damaged at the end.
    """
    from polyscale.cli import console
    from polyscale.cli.fetch_progress import FetchProgress
    from polyscale.store.upkeep import verify

    found: dict[Series, list[Damage]] = {}
    with FetchProgress("files") as progress:
        for market, timeframe in store.series():
            step = progress.begin(f"{market} {timeframe}")
            found[market, timeframe] = verify(store, market, timeframe, step)
    damaged = {series: damages for series, damages in found.items() if damages}
    mended = asyncio.run(_mend_all(store, damaged, url)) if refetch and damaged else {}
    rows = [
        _row(series, damage, mended.get(series)) for series, damages in damaged.items() for damage in damages
    ]
    if as_json:
        console.print_json({"series": len(found), "damaged": rows})
    elif not rows:
        console.out.print(f"{len(found):,} series are as they were written", highlight=False)
    else:
        columns = list(rows[0])[:5]
        console.table(
            f"damaged in {store.root}", columns, [[str(row[name]) for name in columns] for row in rows]
        )
        for row in rows:
            console.out.print(f"{row['file']}: {row['reason']}", highlight=False, markup=False)
        if not refetch:
            console.out.print("add --refetch to set these files aside and fetch their bars again")
    if any(row["missing now"] for row in rows):
        raise typer.Exit(1)


async def _mend_all(store: Store, damaged: dict[Series, list[Damage]], url: str | None) -> dict[Series, int]:
    """Bars that are still missing, per series."""
    from polyscale.exchange.bybit_client import BYBIT_URL, BybitClient, venue_of
    from polyscale.ingest.mend import mend

    venues = {market.venue for market, _ in damaged}
    venue = venue_of(BYBIT_URL) if url is None else min(venues)  # an address of one's own is of any venue
    foreign = sorted(venues - {venue})
    if foreign:
        raise ConfigError(
            f"only bars of {venue} can be fetched again from there, got damaged ones of "
            f"{', '.join(foreign)}; give the --url of their exchange, or import them into a new store"
        )
    async with BybitClient(url or BYBIT_URL, venue=venue) as client:
        return {
            (market, timeframe): sum(
                int(report.gaps["missing_bars"].sum())
                for report in await mend(client, store, market, timeframe, damages)
            )
            for (market, timeframe), damages in damaged.items()
        }


def _row(series: Series, damage: Damage, missing: int | None) -> dict[str, Any]:
    return {
        "bars": f"{series[0]} {series[1]}",
        "from": f"{damage.first_close_time:%Y-%m-%d %H:%M}",
        "to": f"{damage.last_close_time:%Y-%m-%d %H:%M}",
        "rows": damage.num_rows,
        "missing now": damage.num_rows if missing is None else missing,
        "reason": damage.reason,
        "file": damage.path,
    }
