"""Bars for a run: from the store at a version, from the simulation, or handed in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from polyscale.config.run_config import Funding, RunConfig
from polyscale.features.context import Context
from polyscale.market.bars import TIME, Market, check_bars
from polyscale.market.errors import ConfigError, NotStoredError, RunError, StoreError
from polyscale.market.order_rules import OrderRules
from polyscale.market.simulate import simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.runs.folder import RunFolder
from polyscale.store.store import DataVersion, Store
from polyscale.store.upkeep import pin


@dataclass(frozen=True, eq=False)
class SymbolBars:
    """What a run reads of one symbol."""

    market: Market
    bars: pl.DataFrame
    native: Mapping[Timeframe, pl.DataFrame] = field(default_factory=dict)
    funding: pl.DataFrame | None = None
    lesson: bool = False  # whether it is learned from and no more
    rules: OrderRules = field(default_factory=OrderRules)  # which sizes its venue takes

    @property
    def symbol(self) -> str:
        """Its symbol, with its venue if it is a lesson: the same symbol may be tested elsewhere."""
        return str(self.market) if self.lesson else self.market.symbol


def beside(item: SymbolBars, symbols: Sequence[SymbolBars]) -> list[SymbolBars]:
    """The other symbols of the same venue and category: an item's market."""
    place = (item.market.venue, item.market.category)
    return [
        other
        for other in symbols
        if other is not item and (other.market.venue, other.market.category) == place
    ]


def context_of(item: SymbolBars, symbols: Sequence[SymbolBars]) -> Context:
    """What a symbol's forecast may know beside its own bars: its funding, the other symbols as its market."""
    others = beside(item, symbols)
    return Context(
        item.funding,
        {other.symbol: other.bars for other in others},
        {other.symbol: other.native for other in others},
        {other.symbol: other.funding for other in others if other.funding is not None},
    )


def load_symbols(config: RunConfig, store: Store, version: DataVersion | None = None) -> list[SymbolBars]:
    """Read or simulate the bars of every symbol, and after them those that are learned from and no more.

    Parameters
    ----------
    version
        Of the store's tables; absent for what they hold now.

    Raises
    ------
    NotStoredError
        If the store does not hold the base bars of a symbol.
    """
    if config.market.simulation is not None:
        seeds = range(
            config.market.simulation.seed, config.market.simulation.seed + len(config.market.symbols)
        )
        simulations = [config.market.simulation.model_copy(update={"seed": seed}) for seed in seeds]
        pairs = zip(config.market.markets(), simulations, strict=True)
        return [SymbolBars(market, simulate_bars(simulation)) for market, simulation in pairs]
    return [
        *(_from_store(market, config, store, version) for market in config.market.markets()),
        *(
            replace(_from_store(market, config, store, version), lesson=True)
            for market in config.market.lessons()
        ),
    ]


def load_at_version(config: RunConfig, store: Store) -> tuple[list[SymbolBars], DataVersion | None]:
    """Read what the store holds now, and say at which version; None where the market is simulated."""
    version = None if config.market.simulation else store.version()
    return load_symbols(config, store, version), version


def given_symbols(
    bars: Mapping[str, pl.DataFrame],
    config: RunConfig,
    native: Mapping[str, Mapping[str, pl.DataFrame]] | None = None,
) -> list[SymbolBars]:
    """Take bars that the caller hands in: one frame per symbol of the config, native ones by timeframe."""
    if config.market.learn_from:
        raise ConfigError(
            "market.learn_from reads the store: bars that a program hands in are of market.symbols alone; "
            "leave bars out, or market.learn_from"
        )
    if set(bars) != set(config.market.symbols):
        raise ConfigError(
            f"bars must be given for the config's symbols {list(config.market.symbols)}, got {list(bars)}"
        )
    return [
        SymbolBars(
            market,
            check_bars(bars[market.symbol], config.data.base),
            {
                Timeframe.parse(name): check_bars(frame, Timeframe.parse(name))
                for name, frame in (native or {}).get(market.symbol, {}).items()
            },
        )
        for market in config.market.markets()
    ]


def symbols_of_context(
    config: RunConfig, bars: pl.DataFrame, native: Mapping[Timeframe, pl.DataFrame], context: Context
) -> list[SymbolBars]:
    """One symbol of a run, and all others of the run as its context gives them.

    Raises
    ------
    ConfigError
        If the context does not hold exactly the others.
    """
    market = config.market
    own = [symbol for symbol in market.symbols if symbol not in context.others]
    if len(own) != 1 or len(context.others) != len(market.symbols) - 1:
        raise ConfigError(
            f"network.across_symbols: a forecast of one of {list(market.symbols)} must be given the bars of "
            f"all others, got those of {list(context.others)}; give "
            "context=Context(others={symbol: bars, ...})"
        )
    of = {each.symbol: each for each in market.markets()}
    return [
        SymbolBars(of[own[0]], bars, native, context.funding),
        *(
            SymbolBars(
                of[symbol],
                others,
                context.others_native.get(symbol, {}),
                context.others_funding.get(symbol),
            )
            for symbol, others in context.others.items()
        ),
    ]


def fingerprint(symbols: list[SymbolBars]) -> dict[str, str]:
    """Hash of all that a run reads of every symbol, wherever it came from."""
    return {item.symbol: _hash(item) for item in symbols}


def check_same(folder: RunFolder, symbols: list[SymbolBars]) -> None:
    """Raise `RunError` if the bars are not those that a run was made from."""
    then, now = folder.about.get("data", {}).get("sha256"), fingerprint(symbols)
    if then != now:
        raise RunError(
            f"{folder.path}: the bars must hash to {then}, got {now}; give the bars, native bars and funding "
            "that the run was trained from, or train again"
        )


def data_version(folder: RunFolder) -> DataVersion | None:
    """The versions of the store's tables that a run read, None if it read none."""
    data = folder.about.get("data")
    if not isinstance(data, dict):
        raise RunError(
            f"{folder.path}/run.json: must say which data it read, got {data!r}; the run is damaged"
        )
    return version_of(data)


def version_of(data: Mapping[str, Any]) -> DataVersion | None:
    """What `describe_version` wrote, read back; a run of an earlier version read no order rules."""
    if "bars" not in data:
        return None
    return DataVersion(data["bars"], data.get("funding"), data.get("order_rules"))


def same_bars(folder: RunFolder, config: RunConfig, store: Store) -> list[SymbolBars]:
    """Read the bars that a run was made from again, and check them by their hash.

    Raises
    ------
    RunError
        If they came from a program, or are not the same.
    """
    version = data_version(folder)
    if version is None and config.market.simulation is None:
        raise RunError(
            f"{folder.path}: its bars must be the store's to be read again, the run was "
            "made from bars handed in by a program; run that program again, or `polyscale run --config ...`"
        )
    try:
        symbols = load_symbols(config, store, version)
    except (
        StoreError
    ):  # a file of that version was damaged; what was fetched again may be the same to the bit
        newest = replace(store.version(), order_rules=version.order_rules) if version else None
        symbols = load_symbols(config, store, newest)
    check_same(folder, symbols)
    return symbols


def pin_version(folder: RunFolder, store: Store, version: DataVersion | None) -> None:
    """Keep what a run read readable in the store, for as long as the store lives."""
    if version is not None:
        pin(store, folder.name, version)


def describe_version(config: RunConfig, version: DataVersion | None) -> dict[str, Any]:
    """Which data, as run.json keeps it."""
    if config.market.simulation is not None:
        return {"simulated": True}
    return asdict(version) if version else {}


def _from_store(market: Market, config: RunConfig, store: Store, version: DataVersion | None) -> SymbolBars:
    bars_version = version.bars if version else None
    bars = store.read_bars(market, config.data.base, version=bars_version)
    native = {
        scale.timeframe: store.read_bars(market, scale.timeframe, version=bars_version)
        for scale in config.data.scales
        if scale.native_history
    }
    stored = config.market.funding is Funding.STORED
    funding = _funding(market, store, version) if stored else None
    return SymbolBars(market, bars, native, funding, rules=_order_rules(market, store, version))


def _funding(market: Market, store: Store, version: DataVersion | None) -> pl.DataFrame | None:
    """Stored funding rates, None where there were none at that version."""
    if version is not None and version.funding is None:
        return None
    try:
        return store.read_funding(market, version=version.funding if version else None)
    except NotStoredError:
        return None


def _order_rules(market: Market, store: Store, version: DataVersion | None) -> OrderRules:
    """Stored order rules; those that demand nothing where there were none at that version."""
    if version is not None and version.order_rules is None:
        return OrderRules()
    try:
        found = store.read_order_rules(market, version.order_rules if version else None)
    except StoreError:  # damaged at that version: what was fetched since may be the same, and the hash tells
        found = store.read_order_rules(market)
    return found or OrderRules()


def _hash(item: SymbolBars) -> str:
    digest = hashlib.sha256()
    natives = [item.native[timeframe] for timeframe in sorted(item.native)]
    for frame in (item.bars, *natives, *([] if item.funding is None else [item.funding])):
        for column in frame.drop("turnover", strict=False).iter_columns():
            numbers = column.dt.epoch("ms") if column.dtype == TIME else column
            digest.update(np.ascontiguousarray(numbers.to_numpy()).tobytes())
    if item.rules != OrderRules():  # hashes of runs that read none stay as they were
        digest.update(np.array(astuple(item.rules)).tobytes())
    return digest.hexdigest()[:32]
