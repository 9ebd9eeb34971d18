"""``polyscale replay``: play the exchange from bars that are held, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyscale.cli.bars_commands import Label
from polyscale.cli.options import STORE, Category, JsonOption, StoreOption, VenueOption
from polyscale.ingest.spans import read_instant_ms
from polyscale.market.errors import ConfigError
from polyscale.market.instant import shown, time_of

if TYPE_CHECKING:
    from polyscale.replay.exchange import ReplayExchange
    from polyscale.replay.server import ReplayServer
    from polyscale.replay.settings import ReplaySettings
    from polyscale.replay.stored import Bars, Funding

_EXAMPLES = (
    "Examples: polyscale replay BTCUSDT --since 2025-03-01 --speed 60; "
    "polyscale replay --file btc.parquet --symbol BTCUSDT --timeframe 1m --label open --since 2025-03-01; "
    "polyscale replay --fault drops_per_hour=6 --fault late_confirm=0.1 --fault late_confirm_s=3"
)


_SETTLED_MS = 5_000  # after a close; a client does not ask for a bar that closed just now


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("replay", epilog=_EXAMPLES)(replay)


def replay(
    symbols: Annotated[list[str] | None, typer.Argument(help="Symbols of the store; all if absent.")] = None,
    store: StoreOption = STORE,
    file: Annotated[Path | None, typer.Option(help="Play a file of candles instead of the store.")] = None,
    symbol: Annotated[str | None, typer.Option(help="Symbol of the file's candles.")] = None,
    timeframe: Annotated[str | None, typer.Option(help="Of the file's candles: 1m, 5m ...")] = None,
    label: Annotated[Label | None, typer.Option(help="Is the file's time the open or the close?")] = None,
    venue: VenueOption = "bybit",
    category: Annotated[Category, typer.Option(help="Kind of market.")] = Category.LINEAR,
    since: Annotated[
        str | None, typer.Option(help="Time at which to begin, UTC; absent: after the newest held close.")
    ] = None,
    speed: Annotated[float, typer.Option(help="Seconds of the exchange per second.")] = 1.0,
    push_every: Annotated[
        float, typer.Option(help="Seconds of the exchange between pushes of a forming candle.")
    ] = 1.0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")
    ] = 8750,
    fault: Annotated[
        list[str] | None, typer.Option(help="Something that goes wrong: NAME=VALUE, may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the faults and of the paths inside candles.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Play Bybit's public REST and WebSocket from bars that are held, as of a past time. Ctrl-C ends it."""
    from polyscale.replay.exchange import ReplayExchange

    settings = _settings({"speed": speed, "push_every_s": push_every, "seed": seed}, fault or [])
    names = [name.upper() for name in symbols or []]
    if file is None:
        if symbol is not None or timeframe is not None or label is not None:
            raise ConfigError("--symbol, --timeframe and --label go with --file, got no --file; add it")
        bars, funding = _of_store(store, venue, category.value, names)
    else:
        bars, funding = _of_file(
            file, venue, category.value, [*names, *([symbol] if symbol else [])], timeframe, label
        )
    exchange = ReplayExchange(
        bars=bars, funding=funding, start_ms=_begin_ms(read_instant_ms(since), bars), settings=settings
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(exchange, host, port, as_json=as_json))


async def _serve(exchange: ReplayExchange, host: str, port: int, *, as_json: bool) -> None:
    """Serve until the task is cancelled, as Ctrl-C does."""
    from polyscale.replay.server import ReplayServer

    async with ReplayServer(exchange, host, port) as server:
        _tell(exchange, server, as_json=as_json)
        sys.stdout.flush()
        await asyncio.Event().wait()


def _settings(plain: dict[str, Any], pairs: list[str]) -> ReplaySettings:
    from pydantic import ValidationError

    from polyscale.replay.settings import FaultSettings, ReplaySettings

    known = FaultSettings.model_fields
    faults = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or name not in known:
            raise ConfigError(
                f"--fault must be NAME=VALUE with a name out of {', '.join(known)}, got {pair!r}"
            )
        faults[name] = value
    try:
        return ReplaySettings.model_validate({**plain, "faults": faults})
    except ValidationError as error:
        found = error.errors()[0]
        rule = found["msg"].replace("Input should", "must")
        raise ConfigError(f"{found['loc'][-1]}: {rule}, got {found['input']!r}") from error


def _of_store(store: str, venue: str, category: str, symbols: list[str]) -> tuple[Bars, Funding]:
    from polyscale.replay.stored import read_stored
    from polyscale.store.store import Store

    return read_stored(Store(store), venue, category, symbols)


def _of_file(
    file: Path, venue: str, category: str, symbols: list[str], timeframe: str | None, label: Label | None
) -> tuple[Bars, Funding]:
    from polyscale.exchange.bar_file import read_bar_file
    from polyscale.market.bars import Market
    from polyscale.market.timeframe import Timeframe

    if len(symbols) != 1 or timeframe is None or label is None:
        raise ConfigError(
            f"--file needs one --symbol, --timeframe and --label open|close, got {len(symbols)} symbols, "
            f"timeframe {timeframe}, label {label and label.value}: none of them is ever guessed"
        )
    parsed = Timeframe.parse(timeframe)
    market = Market(venue, category, symbols[0].upper())
    return {(market, parsed): read_bar_file(file, parsed, label.value).bars}, {}


def _begin_ms(since_ms: int | None, bars: Bars) -> int:
    if since_ms is None:
        newest_ms = max(int(frame["close_time"].dt.epoch("ms")[-1]) for frame in bars.values() if len(frame))
        return newest_ms + _SETTLED_MS
    return since_ms


def _tell(exchange: ReplayExchange, server: ReplayServer, *, as_json: bool) -> None:
    from polyscale.cli import console

    now = time_of(exchange.now_ms)
    if as_json:
        console.print_json({"url": server.url, "ws_url": server.ws_url, "now": now.isoformat()})
        return
    rows = [
        [str(market), ", ".join(map(str, shelf.timeframes)), shown(shelf.first_ms), shown(shelf.last_ms)]
        for market, shelf in exchange.holdings.shelves.items()
    ]
    console.table("held", ["market", "timeframes", "first open", "last close"], rows)
    speed = f"{exchange.settings.speed:g} s of it per second"
    faults = exchange.settings.faults.model_dump(exclude_defaults=True)
    named = ", ".join(f"{name} {value:g}" for name, value in faults.items()) or "none"
    some, shelf = next(iter(exchange.holdings.shelves.items()))
    categories = sorted({market.category for market in exchange.holdings.shelves})
    lines = [
        f"exchange's time: {now:%Y-%m-%d %H:%M:%S} UTC, {speed}; faults: {named}",
        f"REST:      {server.url}",
        *(f"WebSocket: {server.ws_url}/v5/public/{category}" for category in categories),
        "",
        f"polyscale: polyscale fetch {some.symbol} --category {some.category} --timeframe {shelf.finest} "
        f"--url {server.url} --venue replayed",
        f'           BybitClient("{server.url}")',
        f'pybit:     session = HTTP(); session.endpoint = "{server.url}"',
        f'ccxt:      exchange = ccxt.bybit(); exchange.urls["api"] = dict.fromkeys(exchange.urls["api"], '
        f'"{server.url}")',
        "",
        "Ctrl-C ends it.",
    ]
    console.out.print("\n".join(lines), highlight=False, markup=False)
