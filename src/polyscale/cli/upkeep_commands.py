"""``polyscale bars --verify`` and ``polyscale compact``: a look at every row, and fewer files."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyscale.cli.options import STORE, JsonOption, StoreOption

if TYPE_CHECKING:
    from polyscale.store.store import Store
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

    Versions that runs name stay readable. Other old versions do so only without --vacuum.
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


def verify_store(store: Store, url: str | None, venue: str | None, *, refetch: bool, as_json: bool) -> None:
    """Check every row of the store, show what is damaged, and fetch it again if that is asked for.

    Exit status 1 if anything is damaged or missing at the end.
    """
    from polyscale.cli import console
    from polyscale.cli.fetch_progress import FetchProgress
    from polyscale.exchange.bybit_client import BYBIT_URL, venue_of
    from polyscale.store.upkeep import verify

    address = url or BYBIT_URL
    kept_as = (venue or venue_of(address)) if refetch else ""
    num_series = len(store.series())
    with FetchProgress("files") as progress:
        damages = verify(store, progress.begin("checked"))
    outcome: dict[Damage, tuple[int, str]] = {}
    if refetch and damages:
        outcome = asyncio.run(_mend(store, damages, address, kept_as))
    rows = [_row(damage, *outcome.get(damage, (damage.num_rows, ""))) for damage in damages]
    if as_json:
        console.print_json({"series": num_series, "damaged": rows})
    elif not damages:
        console.out.print(_all_well(store, num_series), highlight=False)
    else:
        _show_damages(store, rows, refetch=refetch)
    if any(row["missing now"] for row in rows):
        raise typer.Exit(1)


def _all_well(store: Store, num_series: int) -> str:
    if not num_series:
        return f"{store.root} holds no bars; bring some in with: polyscale fetch BTCUSDT"
    return (
        f"every row is as it was written, in {num_series:,} series of bars and in what is noted beside them"
    )


def _show_damages(store: Store, rows: list[dict[str, Any]], *, refetch: bool) -> None:
    from polyscale.cli import console

    columns = list(rows[0])[:6]
    console.table(f"damaged in {store.root}", columns, [[str(row[name]) for name in columns] for row in rows])
    for row in rows:
        told = "; ".join(text for text in (row["reason"], row["mending"]) if text)
        console.out.print(f"{row['file']}: {told}", highlight=False, markup=False)
    if not refetch:
        console.out.print("add --refetch to set these files aside and fetch their bars again")


async def _mend(store: Store, damages: list[Damage], url: str, venue: str) -> dict[Damage, tuple[int, str]]:
    from polyscale.exchange.bybit_client import BybitClient
    from polyscale.ingest.mend import mend

    async with BybitClient(url, venue=venue) as client:
        return await mend(client, store, damages)


def _row(damage: Damage, num_missing: int, why: str) -> dict[str, Any]:
    return {
        "table": damage.table,
        "series": damage.series,
        "from": f"{damage.first:%Y-%m-%d %H:%M}",
        "to": f"{damage.last:%Y-%m-%d %H:%M}",
        "rows": damage.num_rows,
        "missing now": num_missing,
        "reason": damage.reason,
        "mending": why,
        "file": damage.path,
    }
