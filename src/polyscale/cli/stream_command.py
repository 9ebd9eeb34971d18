"""``polyscale stream``: keep the store current with the bars that close."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from polyscale.cli.options import STORE, Category, JsonOption, StoreOption, UrlOption
from polyscale.market.errors import ConfigError

if TYPE_CHECKING:
    from polyscale.exchange.bybit_client import BybitClient
    from polyscale.exchange.bybit_stream import StreamCounts
    from polyscale.ingest.record import Recorded
    from polyscale.market.bars import Market
    from polyscale.market.timeframe import Timeframe
    from polyscale.store.store import Series, Store

_LOOK_BACK_MS = 7 * 86_400_000
_OVERLAP_BARS = 5


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("stream", epilog="Example: polyscale stream BTCUSDT ETHUSDT --timeframe 1m")(stream)


def stream(
    symbols: Annotated[list[str], typer.Argument(help="Markets, e.g. BTCUSDT ETHUSDT.")],
    timeframe: Annotated[str, typer.Option(help="Of the bars: 1m, 5m, 1h ...")] = "1m",
    category: Annotated[Category, typer.Option(help="Kind of market.")] = Category.LINEAR,
    url: UrlOption = None,
    ws_url: Annotated[
        str | None, typer.Option(help="Address of the stream, where it is another host than --url.")
    ] = None,
    venue: Annotated[
        str | None, typer.Option(help="Name under which it is kept; needed with an address of your own.")
    ] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Follow markets and keep the store current, until Ctrl-C.

    What is missing in the last week, and since the newest stored bar, comes first. Lost connections are made
    up for: what was not pushed is asked for. With --json, one object per commit.
    """
    from polyscale.cli import console
    from polyscale.exchange.bybit_client import BYBIT_URL, venue_of
    from polyscale.exchange.bybit_stream import stream_url_of
    from polyscale.market.bars import Market
    from polyscale.market.timeframe import Timeframe
    from polyscale.store.store import Store

    address = url or BYBIT_URL
    kept_as, parsed = venue or venue_of(address), Timeframe.parse(timeframe)
    names = list(dict.fromkeys(name.upper() for name in symbols))
    if not names:
        raise ConfigError("stream needs at least one symbol, got none; for example polyscale stream BTCUSDT")
    series = [(Market(kept_as, category.value, name), parsed) for name in names]
    try:
        asyncio.run(_follow(address, ws_url or stream_url_of(address), Store(store), series, as_json=as_json))
    except KeyboardInterrupt:
        console.err.print("stopped: what came is stored, and the same command goes on from there")


async def _follow(url: str, ws_url: str, store: Store, series: list[Series], *, as_json: bool) -> None:
    from contextlib import aclosing

    from polyscale.exchange.bybit_client import BybitClient
    from polyscale.exchange.bybit_stream import BybitStream
    from polyscale.ingest.record import record

    async with BybitClient(url, venue=series[0][0].venue) as client:
        stream = BybitStream(client, ws_url)
        await _catch_up(client, store, series)
        begin = {each: _overlap_ms(store, *each) for each in series}
        async with aclosing(stream.events(begin)) as events:
            await record(events, store, told=lambda done: _tell(done, stream.counts, as_json=as_json))


async def _catch_up(client: BybitClient, store: Store, series: list[Series]) -> None:
    """What is missing in the last week, and since the newest stored bar, by pages."""
    from polyscale.cli import console
    from polyscale.ingest.fetch import fetch_bars

    now_ms = await client.server_time_ms()
    for market, timeframe in series:
        times = store.close_times(market, timeframe).dt.epoch("ms")
        if not len(times):
            continue
        start_ms = min(int(times[-1]), max(int(times[0]), now_ms - _LOOK_BACK_MS))
        if timeframe.ceil_ms(start_ms) + timeframe.ms < now_ms - timeframe.ms:
            report = await fetch_bars(client, store, market, timeframe, start_ms, now_ms)
            console.err.print(
                f"{market} {timeframe}: {report.inserted:,} bars fetched first", highlight=False
            )


def _overlap_ms(store: Store, market: Market, timeframe: Timeframe) -> int | None:
    """Start of a few bars before the newest stored one, in case they were revised; none if none is."""
    times = store.close_times(market, timeframe).dt.epoch("ms")
    return int(times[-1]) - _OVERLAP_BARS * timeframe.ms if len(times) else None


def _tell(done: Recorded, counts: StreamCounts, *, as_json: bool) -> None:
    from polyscale.cli import console

    last = done.last_close.isoformat() if done.last_close else None
    if as_json:
        figures = {"inserted": done.inserted, "updated": done.updated, "missing": done.missing}
        console.print_json({"last_close": last, **figures, "connects": counts.num_connects})
        return
    console.out.print(
        f"{(last or '')[:16].replace('T', ' ')}  {done.inserted:,} bars, {done.updated:,} revised, "
        f"{done.missing:,} missing; {counts.num_connects} connections so far",
        highlight=False,
    )
