"""Answers of Bybit's v5 market endpoints -> rows that were checked one by one.

In: the body of an answer, and what was asked for. Out: candles, funding rates, instruments or a time; never
anything but these or an `ExchangeError`, whatever the bytes. Pure: no network, no clock. The wire format dies
here: newest first, numbers as strings, volume and turnover swapped in inverse markets. Whether a candle is
closed is not on the wire; `bybit_client` decides it by the server's time.

An answer of another shape, or to another question, is refused whole. A single candle that breaks a rule is
rejected with its reason and its text, and the rest of the page stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from polyscale.exchange.bybit_candle import Kline, read_candle
from polyscale.exchange.errors import WireError, error_of_code
from polyscale.exchange.wire_fields import (
    check_time_ms,
    field_of,
    read_json,
    read_number,
    read_optional_ms,
    read_time_ms,
    read_whole,
    read_word,
    refused,
    require_same,
    rows_of,
    shown,
)
from polyscale.market.order_rules import OrderRules
from polyscale.market.timeframe import Timeframe

_KLINE_FIELDS: Final = 7
_MARK_FIELDS: Final = 5
_ANSWERED: Final = "time of the answer"  # no name of the wire
_SPOT_RULES: Final = ("basePrecision", "minOrderQty", "minOrderAmt")  # step, least coins, least quote coin
_CONTRACT_RULES: Final = ("qtyStep", "minOrderQty", "minNotionalValue")


class Rejected(NamedTuple):
    """A candle that may not be used: when it began, the rule that it broke, and what came."""

    start_ms: int
    reason: str
    raw: str


class Candles(NamedTuple):
    """What a page held: sound candles, ascending, and the rejected ones, as of the exchange's time."""

    rows: list[Kline]
    rejected: list[Rejected]
    time_ms: int | None = None  # when the exchange answered, by its clock; none where it does not tell

    @property
    def starts_ms(self) -> list[int]:
        """When each of them began, sound or not."""
        return [*(row.start_ms for row in self.rows), *(row.start_ms for row in self.rejected)]


class FundingRate(NamedTuple):
    """A payment of funding: the fraction that longs pay at this time."""

    time_ms: int
    rate: float


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
    rules: OrderRules | None  # none in inverse markets: sizes there are contracts of one dollar, not coins


class InstrumentsPage(NamedTuple):
    """Instruments, and where the next page begins; an empty cursor ends the list."""

    instruments: list[Instrument]
    cursor: str


def parse_klines(body: bytes | str, category: str, symbol: str, timeframe: Timeframe) -> Candles:
    """Read ``/v5/market/kline``: rows ascending, equal repeats dropped; the newest may still be forming.

    A row that has a time and breaks a rule of `read_candle`, or stands there twice with other numbers, is
    rejected.

    Raises
    ------
    ExchangeError
        A `WireError` for another shape, category or symbol, or a row without a time; others by the answer's
        ``retCode``.
    """
    return _candles(body, category, symbol, timeframe, _KLINE_FIELDS)


def parse_mark_klines(body: bytes | str, category: str, symbol: str, timeframe: Timeframe) -> Candles:
    """Read ``/v5/market/mark-price-kline`` as `parse_klines` does; volume is 0 and turnover none."""
    return _candles(body, category, symbol, timeframe, _MARK_FIELDS)


def parse_funding(body: bytes | str, category: str, symbol: str) -> list[FundingRate]:
    """Read ``/v5/market/funding/history``: ascending, equal repeats dropped, no interval assumed."""
    asked = f"funding of {symbol} ({category})"
    result = _result(body, asked)
    require_same(asked, "category", field_of(asked, result, "category"), category)
    rates = []
    for row in rows_of(asked, result):
        require_same(asked, "symbol", field_of(asked, row, "symbol"), symbol)
        time_ms = read_time_ms(asked, field_of(asked, row, "fundingRateTimestamp"))
        rates.append(FundingRate(time_ms, read_number(asked, field_of(asked, row, "fundingRate"))))
    return _ascending(asked, rates)


def parse_instruments(body: bytes | str, category: str) -> InstrumentsPage:
    """Read ``/v5/market/instruments-info``; its answer may leave the category out."""
    return _instruments(body, category, f"instruments ({category})")


def parse_instrument(body: bytes | str, category: str, symbol: str) -> Instrument | None:
    """Read the same for one symbol; none if the exchange does not list it."""
    asked = f"instrument {symbol} ({category})"
    found = _instruments(body, category, asked).instruments
    if [one.symbol for one in found] not in ([], [symbol]):
        raise refused(asked, f"the answer must hold {symbol} alone", [one.symbol for one in found])
    return found[0] if found else None


def parse_server_time(body: bytes | str) -> int:
    """Read ``/v5/market/time``: milliseconds since 1970, by the exchange's clock."""
    asked = "server time"
    result = _result(body, asked)
    second, nano = (read_whole(asked, field_of(asked, result, name)) for name in ("timeSecond", "timeNano"))
    if nano // 10**9 != second:
        raise refused(asked, f"timeNano must lie in timeSecond {second}", nano)
    return check_time_ms(asked, nano // 10**6)


def _candles(body: bytes | str, category: str, symbol: str, timeframe: Timeframe, num_fields: int) -> Candles:
    asked = f"candles {timeframe} of {symbol} ({category})"
    result = _result(body, asked)
    require_same(asked, "category", field_of(asked, result, "category"), category)
    require_same(asked, "symbol", field_of(asked, result, "symbol"), symbol)
    time_ms = check_time_ms(asked, result[_ANSWERED])
    kept: dict[int, Kline] = {}
    rejected: dict[int, Rejected] = {}
    for row in rows_of(asked, result):
        start_ms = read_time_ms(asked, row[0] if isinstance(row, list) and row else row)
        try:
            if len(row) != num_fields:
                raise refused(asked, f"a row must be a list of {num_fields} strings", row)
            candle = read_candle(asked, start_ms, row[1:], timeframe, category)
            if kept.setdefault(start_ms, candle) != candle:
                raise refused(
                    asked, f"two rows of one time must be equal, first {tuple(kept[start_ms])}", row
                )
        except WireError as error:
            rejected.setdefault(start_ms, Rejected(start_ms, str(error), shown(row)))
    sound = [kept[start_ms] for start_ms in sorted(kept) if start_ms not in rejected]
    return Candles(sound, [rejected[start_ms] for start_ms in sorted(rejected)], time_ms)


def _instruments(body: bytes | str, category: str, asked: str) -> InstrumentsPage:
    result = _result(body, asked)
    require_same(asked, "category", result.get("category", category), category)
    cursor = result.get("nextPageCursor")
    if not isinstance(cursor, str | None):
        raise refused(asked, "nextPageCursor must be text", cursor)
    instruments = [_instrument(asked, category, row) for row in rows_of(asked, result)]
    return InstrumentsPage(instruments, cursor or "")


def _instrument(asked: str, category: str, row: Any) -> Instrument:
    symbol, status, base, quote = (
        read_word(asked, name, field_of(asked, row, name))
        for name in ("symbol", "status", "baseCoin", "quoteCoin")
    )
    kind = row.get("contractType")
    tick_size = read_number(asked, field_of(asked, field_of(asked, row, "priceFilter"), "tickSize"))
    if tick_size <= 0:
        raise refused(asked, f"tickSize of {symbol} must be > 0", tick_size)
    return Instrument(
        symbol,
        status,
        base,
        quote,
        None if kind is None else read_word(asked, "contractType", kind),
        read_optional_ms(asked, row.get("launchTime")),
        read_optional_ms(asked, row.get("deliveryTime")),
        tick_size,
        _order_rules(asked, symbol, category, row),
    )


def _order_rules(asked: str, symbol: str, category: str, row: Any) -> OrderRules | None:
    """The least step and size of an order; a minimum that is not on the wire demands nothing.

    Bybit calls the ``minOrderQty`` of spot deprecated in favour of ``minOrderAmt``. While it is sent, it
    counts: rather a demand too many.
    """
    if category == "inverse":
        return None
    sizes = field_of(asked, row, "lotSizeFilter")
    step_name, *least_names = _SPOT_RULES if category == "spot" else _CONTRACT_RULES
    step = read_number(asked, field_of(asked, sizes, step_name))
    least = [
        0.0 if sizes.get(name) in (None, "") else read_number(asked, sizes[name]) for name in least_names
    ]
    if step <= 0:
        raise refused(asked, f"{step_name} of {symbol} must be > 0", step)
    if min(least) < 0:
        raise refused(asked, f"{' and '.join(least_names)} of {symbol} must be >= 0", least)
    return OrderRules(step, *least)


def _result(body: bytes | str, asked: str) -> dict[str, Any]:
    """The ``result`` of an answer that succeeded, and when it was given."""
    answer = read_json(asked, body)
    code, said = field_of(asked, answer, "retCode"), field_of(asked, answer, "retMsg")
    if type(code) is not int or not isinstance(said, str):
        raise refused(asked, "retCode must be a whole number and retMsg text", (code, said))
    server_ms = answer.get("time")
    failure = error_of_code(code, said, asked, server_ms if type(server_ms) is int else None)
    if failure is not None:
        raise failure
    result = field_of(asked, answer, "result")
    if not isinstance(result, dict):
        raise refused(asked, "result must be an object", result)
    return {**result, _ANSWERED: server_ms}


def _ascending(asked: str, rates: Iterable[FundingRate]) -> list[FundingRate]:
    """Sorted by time; a repeat with equal content is dropped, one with other content is refused."""
    kept: dict[int, FundingRate] = {}
    for rate in rates:
        if kept.setdefault(rate.time_ms, rate) != rate:
            raise refused(
                asked, f"two rows of one time must be equal, first {tuple(kept[rate.time_ms])}", rate
            )
    return [kept[time_ms] for time_ms in sorted(kept)]
