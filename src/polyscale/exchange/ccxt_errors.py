"""What ccxt raises -> our errors.

In: an exception of ccxt, or of its parsers when an answer has another shape. Out: the error to raise. ccxt's
classes are known by name, the nearest first, so that this file needs no ccxt. A ban and a forbidden place
are told by the HTTP status in ccxt's message: its classes call both a passing trouble, which would be asked
again.
"""

from __future__ import annotations

import re
from typing import Final

from polyscale.exchange.errors import (
    BadRequestError,
    BannedError,
    BusyError,
    ExchangeError,
    GarbledError,
    RegionError,
    WireError,
    shorten,
)

_STATUS: Final = re.compile(r"\b(?:GET|POST) https?://\S+ ([1-5]\d\d) ")  # as ccxt writes it
_TOO_FREQUENT: Final = re.compile(r"too frequent|too many|rate limit|banned", re.IGNORECASE)
_KINDS: Final[dict[str, tuple[type[ExchangeError], str]]] = {
    "BadRequest": (
        BadRequestError,
        "the parameters must be known to the exchange, {}; check the symbol and its kind of market",
    ),
    "PermissionDenied": (RegionError, "the exchange must serve this place, {}; it is not asked again"),
    "RestrictedLocation": (RegionError, "the exchange must serve this place, {}; it is not asked again"),
    "NetworkError": (BusyError, "the exchange must be free to answer, {}; wait, and is the network up?"),
    "BadResponse": (GarbledError, "the answer must be readable, {}; try again"),
    "BaseError": (ExchangeError, "the exchange must answer with data, {}; see what ccxt says of it"),
}


def error_of_ccxt(error: Exception, asked: str) -> ExchangeError:
    """The error of ours that an exception of ccxt stands for."""
    got = f"got {type(error).__name__} {shorten(str(error))!r}"
    found = _STATUS.search(str(error))
    status = int(found.group(1)) if found else None
    if status == 418 or (status == 403 and _TOO_FREQUENT.search(str(error))):
        return BannedError(
            f"{asked}: requests must not be too frequent, {got}; stop everything from this address for at "
            f"least 10 minutes"
        )
    if status in (403, 451):
        return RegionError(
            f"{asked}: the exchange must serve this place, {got}; it is not asked again: use it from where "
            f"it is offered, or import files"
        )
    for parent in type(error).__mro__:
        if parent.__name__ in _KINDS:
            kind, rule = _KINDS[parent.__name__]
            return kind(f"{asked}: {rule.format(got)}")
    return WireError(f"{asked}: the answer must have the shape that ccxt knows, {got}; is ccxt up to date?")
