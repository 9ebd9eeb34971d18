"""``polyscale import`` and ``polyscale bars``: what goes into the store, and what it holds."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyscale.cli.options import (
    STORE,
    CategoryOption,
    JsonOption,
    StoreOption,
    UrlOption,
    VenueOption,
)
from polyscale.market.errors import ConfigError

if TYPE_CHECKING:
    from polyscale.store.store import Store


class Kind(StrEnum):
    """What a file holds."""

    BARS = "bars"
    FUNDING = "funding"


class Label(StrEnum):
    """Which end of a bar the file's time is."""

    OPEN = "open"
    CLOSE = "close"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("import", epilog=_IMPORT_EXAMPLES)(import_file)
    app.command("bars", epilog="Examples: polyscale bars --gaps BTCUSDT; polyscale bars --verify --refetch")(
        show_bars
    )


_IMPORT_EXAMPLES = (
    "Examples: polyscale import btc.parquet --symbol BTCUSDT --timeframe 5m --label open; "
    "polyscale import funding.csv --kind funding --symbol BTCUSDT; "
    "polyscale import x.csv --symbol X --timeframe 1h --label close --column time=date --column volume=vol"
)


def import_file(
    file: Annotated[Path, typer.Argument(help="CSV (also .gz) or Parquet.")],
    symbol: Annotated[str, typer.Option(help="Symbol under which it is kept, e.g. BTCUSDT.")],
    kind: Annotated[Kind, typer.Option(help="What the file holds.")] = Kind.BARS,
    timeframe: Annotated[str | None, typer.Option(help="Of the bars: 1m, 5m, 1h, 1d ...")] = None,
    label: Annotated[
        Label | None, typer.Option(help="Is the file's time the bar's open or its close?")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="Name in the file: time=date, volume=vol ...")
    ] = None,
    venue: VenueOption = "bybit",
    category: CategoryOption = "linear",
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Check a file of candles or funding rates and put it into the store; twice changes nothing."""
    from polyscale.cli import console
    from polyscale.exchange.bar_file import read_bar_file
    from polyscale.exchange.funding_file import read_funding_file
    from polyscale.market.bars import Market
    from polyscale.market.timeframe import Timeframe
    from polyscale.store.store import Store

    market = Market(venue, category, symbol.upper())
    columns = _columns(column or [])
    num_unfinished = 0
    if kind is Kind.FUNDING:
        funding = read_funding_file(file, columns)
        written = Store(store).write_funding(market, funding)
        what = f"{market} funding"
    else:
        if timeframe is None or label is None:
            missing = "--timeframe" if timeframe is None else "--label open|close"
            raise ConfigError(
                f"import of bars needs {missing}: it is never guessed; see polyscale import --help"
            )
        parsed = Timeframe.parse(timeframe)
        read = read_bar_file(file, parsed, label.value, columns)
        num_unfinished = read.num_unfinished
        written = Store(store).write_bars(market, parsed, read.bars)
        what = f"{market} {parsed} bars"
    counts = {"inserted": written.inserted, "updated": written.updated, "unchanged": written.unchanged}
    if as_json:
        console.print_json({"what": what, **counts, "unfinished": num_unfinished})
        return
    text = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    dropped = f"; {num_unfinished} unfinished dropped" if num_unfinished else ""
    console.out.print(f"{what}: {text}{dropped}", highlight=False)


def _columns(pairs: list[str]) -> dict[str, str] | None:
    columns = {}
    for pair in pairs:
        name, separator, theirs = pair.partition("=")
        if not separator or not name or not theirs:
            raise ConfigError(
                f"--column must be NAME=NAME_IN_FILE, got {pair!r}; for example --column time=date"
            )
        columns[name] = theirs
    return columns or None


def show_bars(
    gaps: Annotated[str | None, typer.Option(help="List the gaps of this symbol.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read every row again and check it.")] = False,
    refetch: Annotated[
        bool, typer.Option("--refetch", help="With --verify: fetch again what is damaged.")
    ] = False,
    url: UrlOption = None,
    venue: Annotated[
        str | None, typer.Option(help="With --refetch from an address of your own: whose bars it has.")
    ] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Show what the store holds, with gaps; or check that it is as it was written."""
    from polyscale.cli import console
    from polyscale.store.store import Store

    if refetch and not verify:
        raise ConfigError("--refetch goes with --verify, got it alone; add --verify")
    if verify:
        from polyscale.cli.upkeep_commands import verify_store

        verify_store(Store(store), url, venue, refetch=refetch, as_json=as_json)
        return
    held = Store(store).contents()
    if gaps is not None:
        _show_gaps(Store(store), gaps.upper(), as_json=as_json)
        return
    rows = [{key: _plain(value) for key, value in row.items()} for row in held.to_dicts()]
    if as_json:
        console.print_json(rows)
        return
    if not rows:
        console.out.print(f"{store} holds no bars; add some with: polyscale fetch BTCUSDT")
        return
    columns = ["bars", "rows", "first close", "last close", "missing"]
    cells = [
        [
            f"{row['venue']}/{row['category']}/{row['symbol']} {row['timeframe']}",
            *(_cell(row[name]) for name in ("rows", "first_close_time", "last_close_time", "missing_bars")),
        ]
        for row in rows
    ]
    console.table(f"bars in {store}", columns, cells)


def _show_gaps(store: Store, symbol: str, *, as_json: bool) -> None:
    from polyscale.cli import console
    from polyscale.market.errors import NotStoredError
    from polyscale.store.ledger import gaps

    held = [(market, timeframe) for market, timeframe in store.series() if market.symbol == symbol]
    if not held:
        raise NotStoredError(
            f"the store must hold bars of {symbol} to list their gaps; `polyscale bars` shows what is there"
        )
    found = {f"{market} {timeframe}": gaps(store, market, timeframe) for market, timeframe in held}
    cells = {
        name: [{key: _plain(value) for key, value in gap.items()} for gap in frame.to_dicts()]
        for name, frame in found.items()
    }
    if as_json:
        console.print_json([{"series": name, "gaps": rows} for name, rows in cells.items()])
        return
    for name, rows in cells.items():
        if not rows:
            console.out.print(f"{name}: no gaps", highlight=False)
            continue
        title = f"{name}: {len(rows)} gaps"
        console.table(
            title,
            [key.replace("_", " ") for key in rows[0]],
            [[_cell(value) for value in row.values()] for row in rows],
        )


def _plain(value: object) -> object:
    return value.isoformat(sep=" ", timespec="minutes")[:16] if hasattr(value, "isoformat") else value


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
