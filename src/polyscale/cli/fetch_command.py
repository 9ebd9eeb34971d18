"""``polyscale fetch``: candles, funding and order rules from an exchange into the store."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyscale.cli.fetch_source import BYBIT, SourceChoice
from polyscale.cli.options import STORE, Category, JsonOption, StoreOption, UrlOption
from polyscale.ingest.spans import Span, read_instant_ms
from polyscale.market.errors import ConfigError

if TYPE_CHECKING:
    from polyscale.cli.fetch_progress import FetchProgress
    from polyscale.exchange.source import Listed
    from polyscale.ingest.fetch import FetchReport
    from polyscale.market.bars import Market
    from polyscale.market.order_rules import OrderRules
    from polyscale.market.timeframe import Timeframe
    from polyscale.store.store import Store, WriteResult

_DAYS = 30.0
_RARE = ("revised", "new funding")  # columns that are left out where they say nothing
_EXAMPLES = (
    "Examples: polyscale fetch BTCUSDT ETHUSDT --timeframe 1m --days 30; "
    "polyscale fetch BTCUSDT --timeframe 1h --since 2020-03-25 --funding; "
    "polyscale fetch BTCUSD --category inverse --timeframe 5m --since 2024-01-01 --until 2024-07-01; "
    "polyscale fetch BTC/USDT --source ccxt:kraken --timeframe 1h"
)


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("fetch", epilog=_EXAMPLES)(fetch)


@dataclass(frozen=True)
class _Wanted:
    """What to fetch."""

    source: SourceChoice
    symbols: list[str]
    timeframe: Timeframe
    span: Span
    recheck: bool


@dataclass(frozen=True)
class _Fetched:
    """What came of one market."""

    bars: FetchReport
    funding: WriteResult | None
    rules: OrderRules | None
    told: str  # of the rules; nothing where they could not be asked for


def fetch(
    symbols: Annotated[list[str] | None, typer.Argument(help="Markets, e.g. BTCUSDT ETHUSDT.")] = None,
    symbol: Annotated[list[str] | None, typer.Option(help="The same, as an option.")] = None,
    timeframe: Annotated[str, typer.Option(help="Of the bars: 1m, 5m, 1h, 1d ...")] = "1m",
    days: Annotated[
        float | None,
        typer.Option(min=0.001, help=f"So many days up to --until; {_DAYS:g} if nothing is said."),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Date or time in UTC, instead of --days.")] = None,
    until: Annotated[str | None, typer.Option(help="Date or time in UTC; absent: now.")] = None,
    source: Annotated[
        str, typer.Option(help="bybit, or ccxt:ID for an exchange of ccxt, such as ccxt:kraken.")
    ] = BYBIT,
    category: Annotated[
        Category | None, typer.Option(help="Kind of market; linear if nothing is said.")
    ] = None,
    funding: Annotated[bool, typer.Option("--funding", help="Funding rates of the span as well.")] = False,
    recheck: Annotated[
        bool, typer.Option("--recheck", help="Ask again for bars that the exchange did not have.")
    ] = False,
    url: UrlOption = None,
    venue: Annotated[
        str | None, typer.Option(help="Name under which it is kept; needed with an address of your own.")
    ] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Bring closed candles from Bybit, or from an exchange that ccxt reads, into the store.

    Only what is missing is asked for: after an interruption the same command goes on, and a second time it
    asks for no candle. Which sizes of orders the exchange takes is asked every time, for the backtest.
    """
    from polyscale.cli import console
    from polyscale.cli.fetch_progress import FetchProgress
    from polyscale.market.timeframe import Timeframe
    from polyscale.store.store import Store

    names = list(dict.fromkeys(name.upper() for name in (*(symbols or []), *(symbol or []))))
    if not names:
        raise ConfigError("fetch needs at least one symbol, got none; for example polyscale fetch BTCUSDT")
    choice = SourceChoice(source, url, venue, category, funding)
    choice.check()
    wanted = _Wanted(
        choice,
        names,
        Timeframe.parse(timeframe),
        Span(read_instant_ms(since), read_instant_ms(until), days, _DAYS),
        recheck,
    )
    with FetchProgress() as progress:
        try:
            fetched, failed = asyncio.run(_fetch_all(Store(store), wanted, progress))
        except KeyboardInterrupt:
            progress.stop()
            console.err.print("stopped: what came is stored, and the same command goes on from there")
            raise typer.Exit(130) from None
    _tell(fetched, failed, as_json=as_json)
    if failed:
        raise typer.Exit(1)


async def _fetch_all(
    store: Store, wanted: _Wanted, progress: FetchProgress
) -> tuple[list[_Fetched], list[str]]:
    """One market after the other; a wrong symbol does not stop the others, what else goes wrong does."""
    from polyscale.exchange.bybit_client import BybitClient
    from polyscale.exchange.errors import BadRequestError, ExchangeError
    from polyscale.ingest.fetch import fetch_bars, fetch_funding, fetch_order_rules

    fetched, failed = [], []
    choice = wanted.source
    async with choice.open() as source:
        now_ms = await source.server_time_ms()
        ends_ms = wanted.span.ends_ms(now_ms, wanted.timeframe)
        for symbol in wanted.symbols:
            try:
                market = await choice.market(source, symbol)
                step = progress.begin(f"{market} {wanted.timeframe}")
                bars = await fetch_bars(
                    source, store, market, wanted.timeframe, *ends_ms, step, recheck=wanted.recheck
                )
                rates = None
                if choice.funding and isinstance(source, BybitClient):
                    rates = await fetch_funding(source, store, market, *ends_ms)
            except BadRequestError as error:
                failed.append(str(error))
            except ExchangeError as error:  # the next market would meet it too
                failed.append(str(error))
                break
            else:
                try:
                    listed = await fetch_order_rules(source, store, market, now_ms)
                    told = _told(market, listed)
                    fetched.append(_Fetched(bars, rates, listed.rules if listed else None, told))
                except ExchangeError as error:  # it takes nothing from the bars
                    failed.append(str(error))
                    fetched.append(_Fetched(bars, rates, None, ""))
    return fetched, failed


def _told(market: Market, listed: Listed | None) -> str:
    """One line of what is demanded of orders."""
    if listed is None:
        return f"{market}: not listed now, so its order rules stay as they are stored"
    if listed.rules is None:
        return f"{market}: the exchange does not tell in coins which sizes it takes"
    rules, base, quote = listed.rules, listed.base_coin, listed.quote_coin
    pairs = [(rules.min_quantity, base), (rules.min_notional, quote)]
    least = " and ".join(f"{_plain(value)} {coin}" for value, coin in pairs if value)
    at_least = f", at least {least}" if least else ""
    return f"{market}: orders in steps of {_plain(rules.lot_step)} {base}{at_least}"


def _plain(value: float) -> str:
    """Without an exponent: 0.000001."""
    import numpy as np

    return np.format_float_positional(value, trim="-")


def _tell(fetched: list[_Fetched], failed: list[str], *, as_json: bool) -> None:
    from polyscale.cli import console

    if as_json:
        console.print_json({"fetched": [_row(each) for each in fetched], "failed": failed})
        return
    if fetched:
        rows = [_cells(_row(each)) for each in fetched]
        columns = [name for name in rows[0] if name not in _RARE or any(row[name] != "0" for row in rows)]
        console.table("fetched", columns, [[row[name] for name in columns] for row in rows])
    for line in (each.told for each in fetched if each.told):
        console.out.print(line, markup=False, highlight=False)
    for error in failed:
        console.err.print(f"error: {error}", markup=False, highlight=False)


def _row(each: _Fetched) -> dict[str, Any]:
    bars = each.bars
    missing = bars.gaps.group_by("kind", maintain_order=True).agg(bars=_sum("missing_bars"))
    return {
        "series": f"{bars.market} {bars.timeframe}",
        "first_close": bars.first_close.isoformat(),
        "last_close": bars.last_close.isoformat(),
        "stored": bars.stored,
        "new": bars.inserted,
        "revised": bars.updated,
        "missing": dict(missing.rows()),
        "gaps": bars.gaps.height,
        "quarantined": bars.quarantined,
        "new_funding": None if each.funding is None else each.funding.inserted,
        "order_rules": None if each.rules is None else asdict(each.rules),
    }


def _sum(name: str) -> Any:
    import polars as pl

    return pl.col(name).sum()


def _cells(row: dict[str, Any]) -> dict[str, str]:
    missing = ", ".join(f"{count:,} {kind}" for kind, count in row["missing"].items())
    begin, end = (row[name][:16].replace("T", " ") for name in ("first_close", "last_close"))
    return {
        "bars": row["series"],
        "from": begin,
        "to": end,
        **{name: f"{row[name]:,}" for name in ("stored", "new", "revised")},
        "missing": missing or "none",
        "quarantined": f"{row['quarantined']:,}",
        "new funding": f"{row['new_funding'] or 0:,}",
    }
