"""Answers of Bybit's v5 market endpoints -> rows that were checked one by one.

In: the body of an answer, and what was asked for. Out: candles, funding rates, instruments or a time; never
anything but these or an `ExchangeError`, whatever the bytes. Pure: no network, no clock. The wire format dies
here: newest first, numbers as strings, volume and turnover swapped in inverse markets. Whether a candle is
closed is not on the wire; `bybit_client` decides it by the server's time.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Iterable
from typing import Any, Final, NamedTuple, TypeVar

from polyscale.exchange.bybit_errors import WireError, error_of_code, shorten
from polyscale.market.errors import ConfigError
from polyscale.market.timeframe import Timeframe

CATEGORIES: Final = ("spot", "linear", "inverse")
_INTERVALS: Final = {
    **{minutes: str(minutes) for minutes in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    1_440: "D",
    10_080: "W",
}
_NUMBER: Final = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")
_WHOLE: Final = re.compile(r"[0-9]{1,20}")
_SINCE_MS, _UNTIL_MS = 946_684_800_000, 4_102_444_800_000  # 2000-01-01 and 2100-01-01
_SHORT: Final = reprlib.Repr()  # shows foreign values without recursing far into them
_SHORT.maxlist, _SHORT.maxstring = 8, 60
_REMEDY: Final = "nothing of this answer is used; try again, and report it if it stays"


class Kline(NamedTuple):
    """A candle, closed or not, in the contract's units: volume in base coin, turnover in quote coin."""

    start_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float  # 0 for mark prices, which are not traded
    turnover: float | None  # none for mark prices


class FundingRate(NamedTuple):
    """A payment of funding: the fraction that longs pay at this time."""

    time_ms: int
    rate: float


_Row = TypeVar("_Row", Kline, FundingRate)


class Instrument(NamedTuple):
    """A market that the exchange lists."""

    symbol: str
    status: str
    base_coin: str
    quote_coin: str
    contract_type: str | None  # none in spot
    launch_ms: int | None  # none where the exchange does not tell
    delivery_ms: int | None  # none for what does not expire
    tick_size: float


class InstrumentsPage(NamedTuple):
    """Instruments, and where the next page begins; an empty cursor ends the list."""

    instruments: list[Instrument]
    cursor: str


def interval_of(timeframe: Timeframe) -> str:
    """The exchange's word for a timeframe; `ConfigError` where it has none."""
    if timeframe.minutes not in _INTERVALS:
        known = ", ".join(str(Timeframe(minutes)) for minutes in _INTERVALS)
        raise ConfigError(
            f"timeframe must be one that Bybit keeps ({known}), got {timeframe}; fetch a finer one and "
            f"resample it"
        )
    return _INTERVALS[timeframe.minutes]


def parse_klines(body: bytes | str, category: str, symbol: str, timeframe: Timeframe) -> list[Kline]:
    """Read ``/v5/market/kline``: rows ascending, equal repeats dropped; the newest may still be forming.

    Raises
    ------
    ExchangeError
        A `WireError` for another shape, category or symbol, a number that is no finite decimal, a start off
        the timeframe's grid, prices <= 0, a negative volume or turnover, low above or high below open or
        close, two different rows for one start; others by the answer's ``retCode``.
    """
    return _candles(body, category, symbol, timeframe, num_fields=7)


def parse_mark_klines(body: bytes | str, category: str, symbol: str, timeframe: Timeframe) -> list[Kline]:
    """Read ``/v5/market/mark-price-kline`` as `parse_klines` does; volume is 0 and turnover none."""
    return _candles(body, category, symbol, timeframe, num_fields=5)


def parse_funding(body: bytes | str, category: str, symbol: str) -> list[FundingRate]:
    """Read ``/v5/market/funding/history``: ascending, equal repeats dropped, no interval assumed."""
    asked = f"funding of {symbol} ({category})"
    result = _result(body, asked)
    _same(asked, "category", _field(asked, result, "category"), category)
    rates = []
    for row in _list(asked, result):
        _same(asked, "symbol", _field(asked, row, "symbol"), symbol)
        time_ms = _time_ms(asked, _field(asked, row, "fundingRateTimestamp"))
        rates.append(FundingRate(time_ms, _number(asked, _field(asked, row, "fundingRate"))))
    return _ascending(asked, rates)


def parse_instruments(body: bytes | str, category: str) -> InstrumentsPage:
    """Read ``/v5/market/instruments-info``; its answer may leave the category out."""
    asked = f"instruments ({category})"
    result = _result(body, asked)
    _same(asked, "category", result.get("category", category), category)
    cursor = result.get("nextPageCursor")
    if not isinstance(cursor, str | None):
        raise _refused(asked, "nextPageCursor must be text", cursor)
    return InstrumentsPage([_instrument(asked, row) for row in _list(asked, result)], cursor or "")


def parse_server_time(body: bytes | str) -> int:
    """Read ``/v5/market/time``: milliseconds since 1970, by the exchange's clock."""
    asked = "server time"
    result = _result(body, asked)
    second, nano = (_whole(asked, _field(asked, result, name)) for name in ("timeSecond", "timeNano"))
    if nano // 10**9 != second:
        raise _refused(asked, f"timeNano must lie in timeSecond {second}", nano)
    return _in_range(asked, nano // 10**6)


def _candles(
    body: bytes | str, category: str, symbol: str, timeframe: Timeframe, num_fields: int
) -> list[Kline]:
    asked = f"candles {timeframe} of {symbol} ({category})"
    result = _result(body, asked)
    _same(asked, "category", _field(asked, result, "category"), category)
    _same(asked, "symbol", _field(asked, result, "symbol"), symbol)
    is_swapped = category == "inverse"
    rows = _list(asked, result)
    return _ascending(asked, (_candle(asked, row, timeframe, num_fields, is_swapped) for row in rows))


def _candle(asked: str, row: Any, timeframe: Timeframe, num_fields: int, is_swapped: bool) -> Kline:
    if not isinstance(row, list) or len(row) != num_fields:
        raise _refused(asked, f"a row must be a list of {num_fields} strings", row)
    start_ms = _time_ms(asked, row[0])
    if (start_ms - timeframe.offset_ms) % timeframe.ms:
        raise _refused(asked, f"a start must lie on the grid of {timeframe}", start_ms)
    first, high, low, last, *sizes = [_number(asked, text) for text in row[1:]]
    if not 0 < low <= min(first, last) <= max(first, last) <= high:
        raise _refused(asked, "prices must be > 0 with low <= open, close <= high", row)
    if not sizes:
        return Kline(start_ms, first, high, low, last, 0.0, None)
    if min(sizes) < 0:
        raise _refused(asked, "volume and turnover must be >= 0", row)
    volume, turnover = reversed(sizes) if is_swapped else sizes
    return Kline(start_ms, first, high, low, last, volume, turnover)


def _instrument(asked: str, row: Any) -> Instrument:
    symbol, status, base, quote = (
        _word(asked, name, _field(asked, row, name)) for name in ("symbol", "status", "baseCoin", "quoteCoin")
    )
    kind = row.get("contractType")
    tick_size = _number(asked, _field(asked, _field(asked, row, "priceFilter"), "tickSize"))
    if tick_size <= 0:
        raise _refused(asked, f"tickSize of {symbol} must be > 0", tick_size)
    return Instrument(
        symbol,
        status,
        base,
        quote,
        None if kind is None else _word(asked, "contractType", kind),
        _optional_ms(asked, row.get("launchTime")),
        _optional_ms(asked, row.get("deliveryTime")),
        tick_size,
    )


def _result(body: bytes | str, asked: str) -> dict[str, Any]:
    """The ``result`` of an answer that succeeded."""
    try:
        text = body.decode("utf-8") if isinstance(body, bytes) else body
    except UnicodeDecodeError as error:
        raise WireError(f"{asked}: the answer must be UTF-8, got {body[:40]!r}; {_REMEDY}") from error
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refused(asked, "the answer must be JSON", text) from error
    code, said = _field(asked, answer, "retCode"), _field(asked, answer, "retMsg")
    if type(code) is not int or not isinstance(said, str):
        raise _refused(asked, "retCode must be a whole number and retMsg text", (code, said))
    server_ms = answer.get("time")
    failure = error_of_code(code, said, asked, server_ms if type(server_ms) is int else None)
    if failure is not None:
        raise failure
    result = _field(asked, answer, "result")
    if not isinstance(result, dict):
        raise _refused(asked, "result must be an object", result)
    return result


def _field(asked: str, holder: Any, name: str) -> Any:
    if not isinstance(holder, dict) or name not in holder:
        raise _refused(asked, f"must be an object that holds {name!r}", holder)
    return holder[name]


def _list(asked: str, result: dict[str, Any]) -> list[Any]:
    rows = _field(asked, result, "list")
    if not isinstance(rows, list):
        raise _refused(asked, "list must be a list", rows)
    return rows


def _same(asked: str, name: str, got: Any, wanted: str) -> None:
    if got != wanted:
        raise _refused(asked, f"the answer's {name} must be {wanted!r}", got)


def _ascending(asked: str, rows: Iterable[_Row]) -> list[_Row]:
    """Sorted by time; a repeat with equal content is dropped, one with other content is refused."""
    kept: dict[int, _Row] = {}
    for row in rows:
        if kept.setdefault(row[0], row) != row:
            raise _refused(asked, f"two rows of one time must be equal, first {tuple(kept[row[0]])}", row)
    return [kept[time_ms] for time_ms in sorted(kept)]


def _number(asked: str, text: Any) -> float:
    if not isinstance(text, str) or _NUMBER.fullmatch(text) is None:
        raise _refused(asked, "a number must be a decimal string such as '1234.5'", text)
    value = float(text)
    if not math.isfinite(value):
        raise _refused(asked, "a number must lie in the range of a double", text)
    return value


def _whole(asked: str, text: Any) -> int:
    if not isinstance(text, str) or _WHOLE.fullmatch(text) is None:
        raise _refused(asked, "a time must be a string of digits", text)
    return int(text)


def _time_ms(asked: str, text: Any) -> int:
    return _in_range(asked, _whole(asked, text))


def _in_range(asked: str, time_ms: int) -> int:
    if not _SINCE_MS <= time_ms < _UNTIL_MS:
        raise _refused(asked, "a time must be in ms, between 2000 and 2100", time_ms)
    return time_ms


def _optional_ms(asked: str, text: Any) -> int | None:
    return None if text in (None, "", "0") else _time_ms(asked, text)


def _word(asked: str, name: str, text: Any) -> str:
    if not isinstance(text, str) or not 0 < len(text) <= 60 or not text.isprintable() or " " in text:
        raise _refused(asked, f"{name} must be one printable word", text)
    return text


def _refused(asked: str, rule: str, got: object) -> WireError:
    shown = got if isinstance(got, str) else _SHORT.repr(got)
    return WireError(f"{asked}: {rule}, got {shorten(shown)!r}; {_REMEDY}")
