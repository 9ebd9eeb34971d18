"""What an exchange can answer instead of bars, as types.

    PolyscaleError
      ExchangeError      the exchange refused, in a way that has no name of its own below
        BadRequestError  a parameter is wrong, most often the symbol: final
        RegionError      the exchange does not serve this place: final
        BannedError      too frequent: every request must stop for ten minutes or more
        BusyError        transient: rate limit, overload, timeout, lost connection: asked again
        WireError        the answer is not what the exchange documents: nothing of it may be used
          GarbledError   it broke on its way, for it is not even text of JSON: asked again

In: an HTTP status, or a ``retCode`` of a v5 answer. Out: the error to raise, or none.
"""

from __future__ import annotations

from typing import Final

from polyscale.market.errors import PolyscaleError

_SHOWN = 160  # characters of a foreign text in a message
_BUSY_CODES: Final = frozenset({10000, 10006, 10016})
_REGION_CODES: Final = frozenset({10009, 10024})
_BAD_PARAMETER: Final = 10001
_TOO_FREQUENT: Final = "access too frequent"


class ExchangeError(PolyscaleError):
    """The exchange refused a request."""


class BadRequestError(ExchangeError):
    """A parameter is wrong; asking again gives the same answer."""


class RegionError(ExchangeError):
    """The exchange does not serve this place; asking again gives the same answer."""


class BannedError(ExchangeError):
    """The address asked too often; every request must stop for ten minutes or more."""


class BusyError(ExchangeError):
    """The exchange cannot answer now; the same request may succeed later.

    ``server_ms`` is the exchange's own time where the answer told it, to measure a reset time against;
    ``wait_s`` how long it asks us to wait, 0 where it does not say.
    """

    def __init__(self, message: str, server_ms: int | None = None) -> None:
        super().__init__(message)
        self.server_ms = server_ms
        self.wait_s = 0.0


class WireError(ExchangeError):
    """The answer has another shape than documented, or breaks the contract of bars."""


class GarbledError(WireError):
    """The answer is not JSON, most likely cut off or damaged on its way; the same request may succeed."""


def error_of_status(status: int, body: bytes, asked: str) -> ExchangeError | None:
    """The error that an HTTP status stands for; none for 200, whose body is yet to be parsed."""
    if status == 200:
        return None
    said = shorten(body.decode("utf-8", errors="replace"))
    if status == 403 and _TOO_FREQUENT in said.lower():
        return BannedError(
            f"{asked}: requests must not be too frequent, got HTTP 403 {said!r}; stop everything from this "
            f"address for at least 10 minutes, then ask for fewer requests_per_5s"
        )
    if status == 403:
        return RegionError(
            f"{asked}: the exchange must serve this place, got HTTP 403 {said!r}; it is not asked again: use "
            f"it from where it is offered, or import files"
        )
    if status in (408, 429) or status >= 500:
        return BusyError(f"{asked}: the exchange must be free to answer, got HTTP {status} {said!r}; wait")
    return WireError(f"{asked}: the answer must be HTTP 200, got {status} {said!r}; is base_url right?")


def error_of_code(code: int, said: str, asked: str, server_ms: int | None) -> ExchangeError | None:
    """The error that a ``retCode`` stands for; none for 0."""
    if code == 0:
        return None
    got = f"got retCode {code} {shorten(said)!r}"
    if code in _BUSY_CODES:
        return BusyError(f"{asked}: the exchange must be free to answer, {got}; wait", server_ms)
    if code in _REGION_CODES:
        return RegionError(
            f"{asked}: the exchange must serve this place, {got}; it is not asked again: use it from where "
            f"it is offered, or import files"
        )
    if code == _BAD_PARAMETER:
        return BadRequestError(
            f"{asked}: the parameters must be known to the exchange, {got}; check the symbol, "
            f"its category and the timeframe"
        )
    return ExchangeError(f"{asked}: retCode must be 0, {got}; look the code up in the exchange's list")


def shorten(text: str) -> str:
    """The beginning of a foreign text, on one line, for a message."""
    line = " ".join(text[: 4 * _SHOWN].split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."
