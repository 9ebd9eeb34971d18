"""A message of Bybit's public stream -> typed messages, read strictly.

In: the bytes or text of one message, and the category whose stream it came by. Out: candles that were pushed,
the answer to a subscription, a pong, or another topic that nobody here asked for; never anything but these or
an `ExchangeError`, whatever the bytes. Pure: no network, no clock. A message that breaks one rule is refused
whole: REST makes up for what it held.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from polyscale.exchange.bybit_candle import Kline, read_candle, timeframe_of
from polyscale.exchange.errors import shorten
from polyscale.exchange.wire_fields import (
    check_time_ms,
    field_of,
    read_json,
    read_word,
    refused,
    require_same,
    rows_of,
)
from polyscale.market.timeframe import Timeframe

_KLINE: Final = "kline."
_TEXTS: Final = ("open", "high", "low", "close", "volume", "turnover")
_EARLY_MS: Final = 1_000  # by which a message's time may lie before the close that it confirms


class CandlePush(NamedTuple):
    """A candle as it stood at ``ts_ms`` by the exchange's clock; final if it is closed."""

    symbol: str
    timeframe: Timeframe
    kline: Kline
    is_closed: bool
    ts_ms: int


class Ack(NamedTuple):
    """Whether a subscription was accepted; an empty ``req_id`` does not tell which."""

    success: bool
    said: str
    req_id: str


class Pong(NamedTuple):
    """The exchange is there."""


class Other(NamedTuple):
    """A message of another topic."""

    topic: str


def parse_message(body: bytes | str, category: str) -> list[CandlePush] | Ack | Pong | Other:
    """Read one message; a message of candles holds one or several.

    Raises
    ------
    WireError
        For text that is not JSON, an unknown shape, a candle that breaks a rule of `read_candle` or does not
        fit its topic, and one that is said to be closed before its end.
    """
    asked = f"message of the {category} stream"
    message = read_json(asked, body)
    if not isinstance(message, dict):
        raise refused(asked, "must be an object", message)
    if "topic" not in message:
        return _answer(asked, message)
    topic = message["topic"]
    if not isinstance(topic, str):
        raise refused(asked, "topic must be text", topic)
    if not topic.startswith(_KLINE):
        return Other(shorten(topic))
    return _pushes(f"{shorten(topic)} ({category})", message, topic, category)


def topic_of(symbol: str, interval: str) -> str:
    """The topic of candles, as it is subscribed to."""
    return f"{_KLINE}{interval}.{symbol}"


def _answer(asked: str, message: dict[str, Any]) -> Ack | Pong:
    """What answers an op of ours; a pong has another shape in every market."""
    op, said = message.get("op"), message.get("ret_msg")
    if op == "pong" or said == "pong" or "pong" in message:
        return Pong()
    success, req_id = field_of(asked, message, "success"), message.get("req_id", "")
    if not (isinstance(success, bool) and isinstance(said, str) and isinstance(req_id, str)):
        raise refused(asked, "an answer must have a success, and text as ret_msg and req_id", message)
    return Ack(success, said, req_id)


def _pushes(asked: str, message: dict[str, Any], topic: str, category: str) -> list[CandlePush]:
    interval, _, name = topic.removeprefix(_KLINE).partition(".")
    timeframe, symbol = timeframe_of(interval), read_word(asked, "symbol", name)
    if timeframe is None:
        raise refused(asked, "the topic's interval must be one that Bybit keeps", interval)
    require_same(asked, "type", field_of(asked, message, "type"), "snapshot")
    ts_ms = check_time_ms(asked, field_of(asked, message, "ts"))
    rows = rows_of(asked, message, "data")
    if not rows:
        raise refused(asked, "data must hold a candle", rows)
    pushes = []
    for row in rows:
        require_same(asked, "interval", field_of(asked, row, "interval"), interval)
        kline, is_closed = _candle(asked, row, timeframe, category)
        if is_closed and ts_ms + _EARLY_MS < kline.start_ms + timeframe.ms:
            raise refused(asked, f"a candle must not close before its end, said at {ts_ms}", kline.start_ms)
        pushes.append(CandlePush(symbol, timeframe, kline, is_closed, ts_ms))
    return pushes


def _candle(asked: str, row: Any, timeframe: Timeframe, category: str) -> tuple[Kline, bool]:
    start_ms, end_ms, _ = (
        check_time_ms(asked, field_of(asked, row, name)) for name in ("start", "end", "timestamp")
    )
    if end_ms != start_ms + timeframe.ms - 1:
        raise refused(asked, f"end must be start {start_ms} + {timeframe} - 1 ms", end_ms)
    is_closed = field_of(asked, row, "confirm")
    if not isinstance(is_closed, bool):
        raise refused(asked, "confirm must be true or false", is_closed)
    texts = [field_of(asked, row, name) for name in _TEXTS]
    return read_candle(asked, start_ms, texts, timeframe, category), is_closed
