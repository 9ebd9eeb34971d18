"""What the exchange tells about its instruments, derived from the bars that we hold of them.

In: a market and what its candles show. Out: a row of ``instruments-info`` with the fields that clients read.
Limits of size and leverage are made up: nothing can be traded here.
"""

from __future__ import annotations

from typing import Any, Final

from polyscale.market.bars import Market
from polyscale.replay.forming import Steps

QUOTE_COINS: Final = ("USDT", "USDC", "USDE", "USD", "EUR", "BTC", "ETH", "DAI", "BRL", "TRY")
_UNCOUNTED: Final = 10  # decimals of a tick where prices have more than can be counted
_USUAL_FUNDING_MS: Final = 8 * 3_600_000


def coins_of(symbol: str) -> tuple[str, str]:
    """Base and quote coin by the known quote coins; a perpetual such as ``BTCPERP`` is quoted in USDC."""
    if symbol.endswith("PERP") and len(symbol) > len("PERP"):
        return symbol.removesuffix("PERP"), "USDC"
    for quote in QUOTE_COINS:
        if symbol.endswith(quote) and len(symbol) > len(quote):
            return symbol.removesuffix(quote), quote
    return symbol, "USDT"


def instrument_row(market: Market, steps: Steps, launch_ms: int, funding_ms: int | None) -> dict[str, Any]:
    """One row of ``/v5/market/instruments-info``.

    Parameters
    ----------
    launch_ms
        When the first candle began.
    funding_ms
        Time between payments of funding; none if that is not known.
    """
    base, quote = coins_of(market.symbol)
    named = {"symbol": market.symbol, "status": "Trading", "baseCoin": base, "quoteCoin": quote}
    tick = _unit(steps.price)
    step = "1" if market.category == "inverse" else _unit(steps.volume)  # contracts of one dollar
    if market.category == "spot":
        return named | _spot_fields(tick, step)
    kind = "InversePerpetual" if market.category == "inverse" else "LinearPerpetual"
    return named | {
        "contractType": kind,
        "launchTime": str(launch_ms),
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(_UNCOUNTED if steps.price is None else steps.price),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": tick, "maxPrice": "1999999.80", "tickSize": tick},
        "lotSizeFilter": {
            "maxOrderQty": "1000000000",
            "minOrderQty": step,
            "qtyStep": step,
            "postOnlyMaxOrderQty": "1000000000",
            "maxMktOrderQty": "500000000",
            "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": (funding_ms or _USUAL_FUNDING_MS) // 60_000,
        "settleCoin": base if market.category == "inverse" else quote,
        "copyTrading": "none",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": False,
        "preListingInfo": None,
    }


def _spot_fields(tick: str, step: str) -> dict[str, Any]:
    return {
        "innovation": "0",
        "marginTrading": "none",
        "lotSizeFilter": {
            "basePrecision": step,
            "quotePrecision": "0.00000001",
            "minOrderQty": step,
            "maxOrderQty": "1000000000",
            "minOrderAmt": "1",
            "maxOrderAmt": "1000000",
        },
        "priceFilter": {"tickSize": tick},
    }


def _unit(decimals: int | None) -> str:
    """The smallest step of a number with so many decimals: ``0.01`` for two."""
    places = _UNCOUNTED if decimals is None else decimals
    return "1" if places == 0 else f"0.{'1'.rjust(places, '0')}"
