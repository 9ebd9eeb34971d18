"""One public GET at a time, but many at once: the rate limit, retries, the ban and the size cap.

In: a path, its parameters and the pure parser of its answer. Out: what the parser made of the body, or an
`ExchangeError`. Only what may succeed later is asked again: `BusyError` and `GarbledError`. The server's
published limit is held over any 5 s, whatever the concurrency, retries included. No key is ever sent. Time
is the event loop's, so that a test can make it up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import httpx2
import stamina
from aiolimiter import AsyncLimiter
from pydantic import Field

from polyscale.exchange.errors import (
    BannedError,
    BusyError,
    GarbledError,
    WireError,
    error_of_status,
)
from polyscale.market.errors import ConfigError
from polyscale.market.settings import Settings

_T = TypeVar("_T")
PERIOD_S: Final = 5.0  # of the published limit
_MAX_RESET_S: Final = 10.0  # a reset further away than this is not believed
_RESET: Final = "X-Bapi-Limit-Reset-Timestamp"


class BybitSettings(Settings):
    """How hard the exchange is asked, and for how long."""

    requests_per_5s: int = Field(500, ge=2, le=600, description="published: 600 per address")
    concurrency: int = Field(16, ge=1, le=500, description="pages on their way at once")
    attempts: int = Field(6, ge=1, le=50, description="of one request, the first included")
    backoff_s: float = Field(0.5, gt=0, le=60, description="wait after the first failure, doubled each time")
    max_backoff_s: float = Field(30.0, gt=0, le=600)
    timeout_s: float = Field(10.0, gt=0, le=600, description="to connect, and between two bytes")
    deadline_s: float = Field(60.0, gt=0, le=3_600, description="for one whole answer")
    max_body_bytes: int = Field(32_000_000, ge=1_000, description="unpacked")
    ban_s: float = Field(600.0, ge=600, description="how long everything stops after a ban")


class BybitHttp:
    """The one way out to the exchange; belongs to one event loop.

    Parameters
    ----------
    base_url
        Scheme and host, such as ``https://api.bybit.com``.
    transport
        How a request travels; None is the network.
    """

    def __init__(
        self,
        base_url: str,
        settings: BybitSettings,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._settings = settings
        self._banned_until_s: float | None = None
        self._limiter = _limiter(settings.requests_per_5s)
        self._client = httpx2.AsyncClient(
            base_url=_checked_url(base_url),
            transport=transport,
            timeout=settings.timeout_s,
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def get(
        self, path: str, params: Mapping[str, str | int], parse: Callable[[bytes], _T], asked: str
    ) -> _T:
        """Ask, check and parse; wait and ask again while the exchange is busy.

        Raises
        ------
        ExchangeError
            `BusyError` once the attempts are used up; every other kind at once.
        """
        settings = self._settings
        retries = stamina.retry_context(
            on=_may_succeed_later,
            attempts=settings.attempts,
            timeout=None,
            wait_initial=settings.backoff_s,
            wait_max=settings.max_backoff_s,
            wait_jitter=settings.backoff_s,
        )
        try:
            async for attempt in retries:
                with attempt:
                    return await self._ask(path, params, parse, asked)
        except (BusyError, GarbledError) as error:
            raise type(error)(f"{error} (gave up after {settings.attempts} attempts)") from error
        raise AssertionError("the last attempt returns or raises")

    async def _ask(
        self, path: str, params: Mapping[str, str | int], parse: Callable[[bytes], _T], asked: str
    ) -> _T:
        """Ask once, in its turn."""
        await self._limiter.acquire()
        self._refuse_while_banned(asked)
        headers = httpx2.Headers()
        try:
            return parse(await self._body(path, params, asked, headers))
        except BannedError:
            self._banned_until_s = _now_s() + self._settings.ban_s
            raise
        except BusyError as error:
            error.wait_s = reset_in_s(headers, error.server_ms)
            raise

    async def _body(
        self, path: str, params: Mapping[str, str | int], asked: str, headers: httpx2.Headers
    ) -> bytes:
        """The body of an answer with status 200; ``headers`` is filled with those of the answer."""
        try:
            async with (
                asyncio.timeout(self._settings.deadline_s),
                self._client.stream("GET", path, params=dict(params)) as response,
            ):
                headers.update(response.headers)
                body = await self._read(response, asked)
        except (httpx2.TimeoutException, TimeoutError) as error:
            raise BusyError(f"{asked}: the answer must come in time, got {type(error).__name__}") from error
        except (httpx2.DecodingError, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError) as error:
            raise WireError(f"{asked}: the answer must be readable HTTP, got {error!r}") from error
        except httpx2.HTTPError as error:
            raise BusyError(
                f"{asked}: the connection must hold, got {error!r}; is the network up, and base_url right?"
            ) from error
        failure = error_of_status(response.status_code, body, asked)
        if failure is not None:
            raise failure
        return body

    async def _read(self, response: httpx2.Response, asked: str) -> bytes:
        chunks, num_bytes = [], 0
        async for chunk in response.aiter_bytes(65_536):
            num_bytes += len(chunk)
            if num_bytes > self._settings.max_body_bytes:
                raise WireError(
                    f"{asked}: the answer must have at most {self._settings.max_body_bytes} bytes, got more; "
                    f"is base_url right?"
                )
            chunks.append(chunk)
        return b"".join(chunks)

    def _refuse_while_banned(self, asked: str) -> None:
        left_s = 0.0 if self._banned_until_s is None else self._banned_until_s - _now_s()
        if left_s > 0:
            raise BannedError(
                f"{asked}: nothing may be asked during a ban, {left_s:.0f} s of it are left; wait, then ask "
                f"for fewer requests_per_5s"
            )


def reset_in_s(headers: Mapping[str, str], server_ms: int | None) -> float:
    """Seconds until the rate limit's reset, never negative and never long.

    The headers are optional, and the reset may lie in the past. It counts by the server's clock: where the
    answer does not tell the server's time, the reset says nothing.
    """
    reset = headers.get(_RESET, "")
    if server_ms is None or not (reset.isascii() and reset.isdigit() and len(reset) <= 16):
        return 0.0
    return min(max((int(reset) - server_ms) / 1000, 0.0), _MAX_RESET_S)


def _may_succeed_later(error: Exception) -> bool | float:
    """Whether to ask again; as a number, in how many seconds."""
    if isinstance(error, BusyError):
        return error.wait_s or True
    return isinstance(error, GarbledError)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _limiter(requests_per_5s: int) -> AsyncLimiter:
    """A leaky bucket whose burst and leak together stay within the limit over any 5 s.

    aiolimiter admits a full bucket at once and then leaks: a bucket of N per 5 s would admit nearly 2 N in
    its first 5 s. A tenth of N is left for the burst, the rest leaks.
    """
    burst = max(requests_per_5s // 10, 1)
    return AsyncLimiter(burst, PERIOD_S * burst / (requests_per_5s - burst))


def _checked_url(base_url: str) -> httpx2.URL:
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL as error:
        raise ConfigError(f"base_url must be a URL, got {base_url!r} ({error})") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError(
            f"base_url must be http(s) and a host, such as https://api.bybit.com, got {base_url!r}"
        )
    return url
