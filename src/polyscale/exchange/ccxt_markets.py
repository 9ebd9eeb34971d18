"""The markets of an exchange as ccxt describes them, and which of them a word or a `Market` means. Pure.

In: ``exchange.markets``. Out: one `CcxtMarket` with our category, the name under which it is stored, and what
one unit of its candles' volume is worth in base coin, and what is demanded of its orders.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from polyscale.exchange.errors import BadRequestError
from polyscale.market.bars import Market
from polyscale.market.errors import ConfigError
from polyscale.market.order_rules import OrderRules

# How the candles of contracts count volume, as ccxt 4.5 reads them. ccxt has no field for it.
_IN_BASE_COIN: Final = frozenset(
    [
        "binance",
        "binancecoinm",
        "binanceusdm",
        "bitget",
        "blofin",
        "bybit",
        "bybiteu",
        "bybitid",
        "dydx",
        "grvt",
        "htx",
        "hyperliquid",
        "myokx",
        "okx",
        "okxus",
    ]
)
_IN_CONTRACTS: Final = frozenset(["delta", "gate", "gateeu", "kucoin", "kucoinfutures", "mexc"])
_IN_QUOTE_COIN: Final = frozenset(["btse", "hibachi"])  # spot as well
_MAIN_COINS: Final = ("BTC", "ETH")
_MAIN_QUOTES: Final = ("USDT", "USD", "USDC", "EUR", "KRW", "JPY", "BRL", "TRY", "MXN", "ZAR")
_NUM_MAIN: Final = 3
_NUM_NAMED: Final = 6  # markets listed in an error


class CcxtMarket(NamedTuple):
    """A market of an exchange: spot, or a contract paid in quote coin (linear) or base coin (inverse)."""

    symbol: str  # ccxt's unified one: BTC/USDT, BTC/USDT:USDT
    native: str  # the exchange's own id
    category: str
    base_coin: str
    quote_coin: str
    contract_size: float  # base coin (linear) or quote coin (inverse) per contract; 1 for spot
    is_active: bool
    rules: OrderRules | None = None  # none where ccxt does not tell them in coins

    @property
    def stored(self) -> str:
        """The exchange's id in upper case, with a dash for what may not stand in a stored symbol."""
        return re.sub(r"[^A-Z0-9._-]+", "-", self.native.upper()).strip("._-")

    @property
    def shown(self) -> str:
        """As an error names it."""
        return f"{self.symbol} ({self.category}, {self.native})"


def markets_of(
    described: Mapping[str, Mapping[str, Any]], *, sizes_in_steps: bool = False
) -> list[CcxtMarket]:
    """The markets that have a category of ours: no options, and no contracts that pay in a third coin.

    Parameters
    ----------
    sizes_in_steps
        Whether the precision of a size is its step, and not a number of digits.
    """
    found = []
    for symbol, market in described.items():
        category = _category(market)
        if category and market.get("id") and market.get("base"):
            given = market.get("contractSize") if category != "spot" else None
            size = 1.0 if given is None else float(given)
            names = str(market["id"]), category, market["base"], market.get("quote") or ""
            in_coins = sizes_in_steps and size == 1 and category != "inverse"
            rules = _order_rules(market) if in_coins else None
            found.append(CcxtMarket(symbol, *names, size, market.get("active") is not False, rules))
    return found


def market_of_word(markets: Iterable[CcxtMarket], word: str, asked: str) -> CcxtMarket:
    """The one market that a person means: by its unified symbol, else by the exchange's id, in any case.

    Raises
    ------
    BadRequestError
        If there is none, or an id that several markets share (spot and its contract, often): names them.
    """
    wanted = word.strip().casefold()
    markets = list(markets)
    tests: list[Callable[[CcxtMarket], bool]] = [
        lambda market: market.symbol.casefold() == wanted,
        lambda market: wanted in (market.native.casefold(), market.stored.casefold()),
    ]
    for test in tests:
        found = [market for market in markets if test(market)]
        if found:
            return _only(found, word, asked)
    plain = _letters(wanted)
    near = [market for market in markets if _letters(market.base_coin + market.quote_coin) == plain]
    near += [market for market in markets if market.symbol.casefold().split(":")[0] == wanted]
    raise BadRequestError(
        f"{asked}: the symbol must be one that the exchange lists, such as BTC/USDT, got {word!r}; "
        f"{f'did you mean {_named(near)}?' if near else 'look it up there'}"
    )


def market_of_stored(markets: Iterable[CcxtMarket], market: Market, asked: str) -> CcxtMarket:
    """The market that is stored under a name; errors as `market_of_word`."""
    found = [one for one in markets if (one.category, one.stored) == (market.category, market.symbol)]
    if not found:
        raise BadRequestError(
            f"{asked}: the exchange must list {market.symbol} among its {market.category} markets, got none; "
            f"check the symbol and its category"
        )
    return _only(found, market.symbol, asked)


def main_markets(markets: Iterable[CcxtMarket]) -> list[CcxtMarket]:
    """A few markets that trade whenever the exchange does: bitcoin's, spot first."""
    usual = [market for market in markets if market.is_active and market.base_coin in _MAIN_COINS]
    ranked = sorted(
        usual,
        key=lambda market: (
            _MAIN_COINS.index(market.base_coin),
            _rank(market.quote_coin),
            market.category != "spot",
            market.symbol,
        ),
    )
    return ranked[:_NUM_MAIN]


def volume_unit(exchange: str, market: CcxtMarket) -> float:
    """Base coin per unit of the volume of a market's candles.

    Spot volume is in base coin, and so is that of linear contracts of one base coin, however it is counted.
    Otherwise it depends on the exchange, and is refused rather than guessed where nothing is known of it: so
    are inverse contracts that are counted in contracts, for what those are in base coin depends on prices
    that a candle does not hold.

    Raises
    ------
    ConfigError
        If it is not known.
    """
    is_plain = market.category == "spot" or (market.category == "linear" and market.contract_size == 1)
    if exchange in _IN_BASE_COIN or (is_plain and exchange not in _IN_QUOTE_COIN):
        return 1.0
    if exchange in _IN_CONTRACTS and market.category == "linear":
        return market.contract_size
    raise ConfigError(
        f"the volume of {exchange} must be known in base coin, got {market.shown}, whose candles count "
        f"something else or nothing tells what; fetch its spot market, or a linear one of another exchange"
    )


def _order_rules(market: Mapping[str, Any]) -> OrderRules | None:
    """What is demanded of sizes that are counted in coins; a minimum that is not told demands nothing."""
    precision, limits = market.get("precision") or {}, market.get("limits") or {}
    step, *least = (
        _size(value)
        for value in (
            precision.get("amount"),
            (limits.get("amount") or {}).get("min"),
            (limits.get("cost") or {}).get("min"),
        )
    )
    return OrderRules(step, *least) if step else None


def _size(value: Any) -> float:
    """A number that may be a size, else 0."""
    return float(value) if isinstance(value, int | float) and 0 <= value < math.inf else 0.0


def _category(market: Mapping[str, Any]) -> str | None:
    if market.get("spot"):
        return "spot"
    if not (market.get("swap") or market.get("future")):
        return None
    return "linear" if market.get("linear") else "inverse" if market.get("inverse") else None


def _rank(quote: str) -> int:
    return _MAIN_QUOTES.index(quote) if quote in _MAIN_QUOTES else len(_MAIN_QUOTES)


def _only(found: list[CcxtMarket], word: str, asked: str) -> CcxtMarket:
    if len(found) > 1:
        raise BadRequestError(
            f"{asked}: a symbol must name one market, got {word!r} for {_named(found)}; write the one before "
            f"the parenthesis"
        )
    return found[0]


def _named(markets: list[CcxtMarket]) -> str:
    names = list(dict.fromkeys(market.shown for market in markets))
    return ", ".join(names[:_NUM_NAMED]) + (" ..." if len(names) > _NUM_NAMED else "")


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.casefold())
