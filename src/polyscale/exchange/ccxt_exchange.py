"""One exchange as ccxt opens it: asked with retries, its errors ours, its caps and timeframes read.

In: an id of ccxt, and one call of it at a time. Out: what ccxt made of the answer, or an `ExchangeError`.
Only what may succeed later is asked again. The rate is held by ccxt. The package ``ccxt`` is an extra,
imported when an exchange is opened. No key is ever sent.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final

import stamina
from pydantic import Field

from polyscale.exchange.ccxt_errors import error_of_ccxt
from polyscale.exchange.errors import BusyError, GarbledError, shorten
from polyscale.market.errors import ConfigError
from polyscale.market.settings import Settings
from polyscale.market.timeframe import Timeframe

_OURS: Final = re.compile(r"[1-9]\d*[mhdw]")  # of its words for timeframes: no seconds, no months
_TICK_SIZE: Final = 4  # ccxt's word for it
_MOST_BARS: Final = 1_000  # of a page, where the exchange gives more or ccxt knows no cap
_SHAPE_ERRORS: Final = (
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
)  # ccxt's parsers at a strange answer


class CcxtSettings(Settings):
    """For how long an exchange is asked; how often is ccxt's own affair."""

    attempts: int = Field(6, ge=1, le=50, description="of one request, the first included")
    backoff_s: float = Field(0.5, gt=0, le=60, description="wait after the first failure, doubled each time")
    max_backoff_s: float = Field(30.0, gt=0, le=600)
    timeout_s: float = Field(10.0, gt=0, le=600, description="for one answer")


class CcxtExchange:
    """The one way out to an exchange; belongs to one event loop, and is asked one thing at a time.

    Parameters
    ----------
    name
        The exchange's id in ccxt.
    url
        An address in place of all of the exchange's.

    Raises
    ------
    ConfigError
        If the package ccxt is missing, knows no such exchange, or gives no candles of it.
    """

    def __init__(self, name: str, settings: CcxtSettings, url: str | None = None) -> None:
        self.name = name
        self._settings = settings
        ccxt = _package(name)
        self._error_kind: type[Exception] = ccxt.BaseError
        self._ccxt = getattr(ccxt, name)(
            {
                "enableRateLimit": True,
                "timeout": round(1_000 * settings.timeout_s),
            }
        )
        self._unread: list[str] = []  # answers to the call under way that are not JSON
        self._ccxt.parse_json = self._watched(self._ccxt.parse_json)
        if self._ccxt.has.get("fetchOHLCV") is not True:
            raise ConfigError(f"ccxt must give candles of the exchange, got {name}, of which it gives none")
        if url is not None:
            self._ccxt.urls["api"] = _replaced(self._ccxt.urls["api"], url.rstrip("/"))

    async def close(self) -> None:
        """Close the connections."""
        await self._ccxt.close()

    @property
    def page_bars(self) -> int:
        """The most candles that come at once in any kind of market."""
        return min([_MOST_BARS, *(cap for cap in _caps(self._ccxt.features) if cap > 0)])

    @property
    def tells_time(self) -> bool:
        """Whether the exchange can be asked for its time."""
        return self._ccxt.has.get("fetchTime") is True

    @property
    def sizes_in_steps(self) -> bool:
        """Whether it tells the step of a size, and not how many digits it may have."""
        return self._ccxt.precisionMode == _TICK_SIZE

    @property
    def finest(self) -> str:
        """The shortest timeframe of its candles that is one of ours."""
        return str(min(Timeframe.parse(word) for word in self._timeframes if _OURS.fullmatch(word)))

    def keeps(self, timeframe: Timeframe) -> bool:
        """Whether it has candles of a timeframe."""
        return str(timeframe) in self._timeframes

    def check(self, timeframe: Timeframe) -> None:
        """Raise a `ConfigError` for a timeframe that it has no candles of."""
        if not self.keeps(timeframe):
            raise ConfigError(
                f"timeframe must be one that {self.name} keeps ({', '.join(self._timeframes)}), got "
                f"{timeframe}; fetch a finer one and resample it"
            )

    async def time(self) -> Any:
        """The exchange's time, ms."""
        return await self._ask(f"{self.name}: server time", self._ccxt.fetch_time)

    async def markets(self) -> Any:
        """Its markets by their unified symbols."""
        return await self._ask(f"{self.name}: markets", self._ccxt.load_markets, True)

    async def candles(self, asked: str, symbol: str, timeframe: str, *ends: int) -> Any:
        """Candles of a market; the newest ones without ``ends``, which are the first start and how many."""
        return await self._ask(asked, self._ccxt.fetch_ohlcv, symbol, timeframe, *ends)

    @property
    def _timeframes(self) -> dict[str, Any]:
        return self._ccxt.timeframes

    async def _ask(self, asked: str, call: Callable[..., Awaitable[Any]], *words: object) -> Any:
        """Ask, and ask again while the exchange is busy or its answer came broken."""
        settings = self._settings
        retries = stamina.retry_context(
            on=(BusyError, GarbledError),
            attempts=settings.attempts,
            timeout=None,
            wait_initial=settings.backoff_s,
            wait_max=settings.max_backoff_s,
            wait_jitter=settings.backoff_s,
        )
        try:
            async for attempt in retries:
                with attempt:
                    return await self._ask_once(asked, call, *words)
        except (BusyError, GarbledError) as error:
            raise type(error)(f"{error} (gave up after {settings.attempts} attempts)") from error
        raise AssertionError("the last attempt returns or raises")

    async def _ask_once(self, asked: str, call: Callable[..., Awaitable[Any]], *words: object) -> Any:
        self._unread.clear()
        try:
            answer = await call(*words)
        except (self._error_kind, *_SHAPE_ERRORS) as error:
            raise error_of_ccxt(error, asked) from error
        self._refuse_unread(asked, pages_allowed=call == self._ccxt.load_markets)
        return answer

    def _watched(self, parse: Callable[[str], Any]) -> Callable[[str], Any]:
        """Note what ccxt cannot parse: it takes a broken answer for one without rows."""

        def parse_json(body: str) -> Any:
            parsed = parse(body)
            if parsed is None:
                self._unread.append(body)
            return parsed

        return parse_json

    def _refuse_unread(self, asked: str, *, pages_allowed: bool) -> None:
        """Markets are read from a web page here and there; candles never are."""
        broken = [body for body in self._unread if not pages_allowed or body.startswith(("{", "["))]
        if broken:
            raise GarbledError(f"{asked}: the answer must be JSON, got {shorten(broken[0])!r}; try again")


def _package(name: str) -> Any:
    """The module that holds the exchange's class."""
    try:
        ccxt = import_module("ccxt.async_support")
    except ImportError as error:
        raise ConfigError(
            f'the package ccxt must be installed to ask {name}, got: {error}; pip install "polyscale[ccxt]"'
        ) from error
    if name not in ccxt.exchanges:
        near = get_close_matches(name, ccxt.exchanges) or ["kraken", "binance"]
        raise ConfigError(
            f"the exchange must be one that ccxt {ccxt.__version__} knows, got {name!r}; for example "
            f"{', '.join(near)}"
        )
    return ccxt


def _replaced(addresses: Any, url: str) -> Any:
    """The same tree of addresses with another one at every leaf."""
    if isinstance(addresses, dict):
        return {name: _replaced(inner, url) for name, inner in addresses.items()}
    return url


def _caps(features: Any) -> list[int]:
    """Every cap on candles in ccxt's description of what an exchange can do."""
    if not isinstance(features, dict):
        return []
    own = features.get("fetchOHLCV")
    cap = own.get("limit") if isinstance(own, dict) else None
    inner = [each for name, kind in features.items() if name != "fetchOHLCV" for each in _caps(kind)]
    return [*([cap] if isinstance(cap, int) else []), *inner]
