"""``polyscale demo``: the main job on a year of Bybit's candles; without a network, on a simulated market."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from polyscale.cli.options import RUNS, STORE, JsonOption, RunsOption, SeedOption, StoreOption, UrlOption

if TYPE_CHECKING:
    from polyscale.config.run_config import RunConfig
    from polyscale.store.store import Store

_SYMBOL: Final = "BTCUSDT"
_DAYS: Final = 365
_PATIENCE_S: Final = 5.0  # whether there is a network is found out once, and quickly


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("demo", epilog="Examples: polyscale demo; polyscale demo --simulated")(demo)


def demo(
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Do not ask the exchange; simulate the market.")
    ] = False,
    seed: SeedOption = None,
    url: UrlOption = None,
    store: StoreOption = STORE,
    runs: RunsOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Do the main job on a year of BTC from Bybit; without a network, on a simulated market."""
    from polyscale.cli import console
    from polyscale.cli.run_commands import run_config, tell
    from polyscale.store.store import Store

    began, held = time.monotonic(), Store(store)
    config = None if simulated else asyncio.run(_of_exchange(held, url))
    if config is None:
        config = _preset()
        console.err.print(
            "The market of this demo is [bold]simulated[/bold]: its profits are not to be had anywhere."
        )
    if seed is not None:
        config = config.model_copy(update={"seed": seed})
    told, symbols = run_config(config, held, runs)
    tell(told, symbols, time.monotonic() - began, as_json=as_json)


async def _of_exchange(store: Store, url: str | None) -> RunConfig | None:
    """The demo's config for bars that are fetched first; none if the exchange does not answer."""
    from polyscale.cli import console
    from polyscale.cli.fetch_progress import FetchProgress
    from polyscale.config.run_config import MarketSettings
    from polyscale.exchange.bybit_client import BYBIT_URL, KNOWN_VENUES, BybitClient
    from polyscale.exchange.bybit_http import BybitSettings
    from polyscale.exchange.errors import ExchangeError
    from polyscale.ingest.fetch import fetch_bars
    from polyscale.market.bars import Market

    address, config = url or BYBIT_URL, _preset()
    try:
        async with BybitClient(address, BybitSettings(attempts=1, timeout_s=_PATIENCE_S)) as probe:
            now_ms = await probe.server_time_ms()
    except ExchangeError:
        console.err.print(f"{address} does not answer: no network, or not from here.", highlight=False)
        return None
    venue = KNOWN_VENUES.get(address.rstrip("/"), _name_of(address))
    market, timeframe = Market(venue, "linear", _SYMBOL), config.data.base
    console.err.print(f"The market of this demo is {market}, {_DAYS} days from {address}.", highlight=False)
    with FetchProgress() as progress:
        async with BybitClient(address, venue=market.venue) as client:
            step = progress.begin(f"{market} {timeframe}")
            await fetch_bars(client, store, market, timeframe, now_ms - _DAYS * 86_400_000, now_ms, step)
    settings = MarketSettings(venue=venue, symbols=(_SYMBOL,))
    return config.model_copy(update={"name": "demo-btc", "market": settings})


def _name_of(address: str) -> str:
    """A venue for an address of one's own, whose bars are never mixed with another's."""
    return "at-" + re.sub(r"[^a-z0-9.]+", "-", address.rsplit("://", maxsplit=1)[-1].lower()).strip("-")


def _preset() -> RunConfig:
    from polyscale.config.presets import preset
    from polyscale.config.run_config import read_config

    return read_config(preset("demo"))
