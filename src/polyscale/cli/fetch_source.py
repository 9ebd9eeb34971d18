"""Where ``polyscale fetch`` asks: Bybit, or an exchange of ccxt.

In: the words of a person. Out: a source of bars, open for as long as it is needed, and the market that each
symbol means.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from polyscale.cli.options import Category
from polyscale.market.errors import ConfigError

if TYPE_CHECKING:
    from polyscale.exchange.bybit_client import BybitClient
    from polyscale.exchange.ccxt_source import CcxtSource
    from polyscale.market.bars import Market

BYBIT: Final = "bybit"
_CCXT: Final = "ccxt:"


@dataclass(frozen=True)
class SourceChoice:
    """What a person said of the source: ``bybit`` or ``ccxt:ID``, and what goes with it."""

    word: str
    url: str | None
    venue: str | None
    category: Category | None
    funding: bool

    def check(self) -> None:
        """Raise a `ConfigError` for words that do not go together."""
        if self.word == BYBIT:
            if self.funding and self.category is Category.SPOT:
                raise ConfigError("--funding needs a linear or inverse market, got spot; leave it out")
            return
        if not self._exchange:
            raise ConfigError(
                f"--source must be bybit, or ccxt:ID with an exchange of ccxt such as ccxt:kraken, got "
                f"{self.word!r}"
            )
        if self.category is not None:
            raise ConfigError(
                f"--category must be left out with {self.word}, got {self.category}: the symbol tells it "
                f"(BTC/USDT is spot, BTC/USDT:USDT a contract)"
            )
        if self.funding:
            raise ConfigError(f"--funding must be left out with {self.word}: ccxt gives bars only, here")
        if self.url is not None and self._exchange != BYBIT:
            raise ConfigError(
                f"--url (POLYSCALE_BYBIT_URL) is an address of Bybit, got {self.url} with {self.word}; leave "
                f"it out"
            )
        if self.venue is not None and self.url is None:
            raise ConfigError(
                f"--venue goes with an address of your own, got {self.venue!r}; the venue of {self.word} is "
                f"{self._exchange}"
            )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[BybitClient | CcxtSource]:
        """Open it, and close it in the end."""
        from polyscale.exchange.bybit_client import BYBIT_URL, BybitClient, venue_of
        from polyscale.exchange.ccxt_source import CcxtSource

        if self.word == BYBIT:
            url = self.url or BYBIT_URL
            async with BybitClient(url, venue=self.venue or venue_of(url)) as client:
                yield client
        else:
            venue = self.venue or (venue_of(self.url) if self.url else None)
            async with CcxtSource(self._exchange, url=self.url, venue=venue) as source:
                yield source

    async def market(self, source: BybitClient | CcxtSource, symbol: str) -> Market:
        """The market that a symbol means."""
        from polyscale.exchange.ccxt_source import CcxtSource
        from polyscale.market.bars import Market

        if isinstance(source, CcxtSource):
            return await source.market_of(symbol)
        return Market(source.venue, (self.category or Category.LINEAR).value, symbol)

    @property
    def _exchange(self) -> str:
        return self.word.removeprefix(_CCXT) if self.word.startswith(_CCXT) else ""
