"""Fields of the exchange's JSON, read strictly: a value of the wanted kind or an error that says what came.

In: text from the wire, and what was asked for, which names it in errors. Out: numbers, times and words.
Strict where Python is generous: ``float`` would take ``1_000``, ``nan`` and ``Infinity``.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from typing import Any, Final

from polyscale.exchange.errors import GarbledError, WireError, shorten

_NUMBER: Final = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")
_WHOLE: Final = re.compile(r"[0-9]{1,20}")
_SINCE_MS, _UNTIL_MS = 946_684_800_000, 4_102_444_800_000  # 2000-01-01 and 2100-01-01
_SHORT: Final = reprlib.Repr()  # shows foreign values without recursing far into them
_SHORT.maxlist, _SHORT.maxstring = 8, 60
_REMEDY: Final = "nothing of this answer is used; try again, and report it if it stays"


def read_json(asked: str, body: bytes | str) -> Any:
    """Any JSON; `GarbledError` for a body that broke on its way, `WireError` for a web page."""
    try:
        text = body.decode("utf-8") if isinstance(body, bytes) else body
    except UnicodeDecodeError as error:
        raise GarbledError(f"{asked}: the answer must be UTF-8, got {body[:40]!r}; {_REMEDY}") from error
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith("<"):
            raise WireError(
                f"{asked}: the answer must be JSON, got a web page {shorten(text)!r}; is base_url right, "
                f"and does no proxy stand between?"
            ) from error
        raise GarbledError(f"{asked}: the answer must be JSON, got {shorten(text)!r}; {_REMEDY}") from error


def field_of(asked: str, holder: Any, name: str) -> Any:
    """The value under a name of a JSON object that must hold it."""
    if not isinstance(holder, dict) or name not in holder:
        raise refused(asked, f"must be an object that holds {name!r}", holder)
    return holder[name]


def rows_of(asked: str, holder: Any, name: str = "list") -> list[Any]:
    """The list under a name."""
    rows = field_of(asked, holder, name)
    if not isinstance(rows, list):
        raise refused(asked, f"{name} must be a list", rows)
    return rows


def require_same(asked: str, name: str, got: Any, wanted: str) -> None:
    """Refuse an answer to another question."""
    if got != wanted:
        raise refused(asked, f"the answer's {name} must be {wanted!r}", got)


def read_number(asked: str, text: Any) -> float:
    """A finite decimal, written as a string."""
    if not isinstance(text, str) or _NUMBER.fullmatch(text) is None:
        raise refused(asked, "a number must be a decimal string such as '1234.5'", text)
    value = float(text)
    if not math.isfinite(value):
        raise refused(asked, "a number must lie in the range of a double", text)
    return value


def read_whole(asked: str, text: Any) -> int:
    """Digits, written as a string."""
    if not isinstance(text, str) or _WHOLE.fullmatch(text) is None:
        raise refused(asked, "a time must be a string of digits", text)
    return int(text)


def read_time_ms(asked: str, text: Any) -> int:
    """Milliseconds since 1970, written as a string."""
    return check_time_ms(asked, read_whole(asked, text))


def check_time_ms(asked: str, time_ms: Any) -> int:
    """A whole number of milliseconds in this century."""
    if type(time_ms) is not int or not _SINCE_MS <= time_ms < _UNTIL_MS:
        raise refused(asked, "a time must be in ms, between 2000 and 2100", time_ms)
    return time_ms


def read_optional_ms(asked: str, text: Any) -> int | None:
    """A time where there is one; the exchange writes nothing, an empty string or 0 for none."""
    return None if text in (None, "", "0") else read_time_ms(asked, text)


def read_word(asked: str, name: str, text: Any) -> str:
    """One printable word."""
    if not isinstance(text, str) or not 0 < len(text) <= 60 or not text.isprintable() or " " in text:
        raise refused(asked, f"{name} must be one printable word", text)
    return text


def refused(asked: str, rule: str, got: object) -> WireError:
    """The error of an answer that breaks a rule."""
    return WireError(f"{asked}: {rule}, got {shorten(shown(got))!r}; {_REMEDY}")


def shown(value: object) -> str:
    """A foreign value as text, short however deep it is."""
    return value if isinstance(value, str) else _SHORT.repr(value)
