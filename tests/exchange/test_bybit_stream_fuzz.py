"""Whatever the bytes of a message, the parser gives sound candles, another message, or our own error."""

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyscale.exchange.bybit_candle import CATEGORIES
from polyscale.exchange.bybit_stream_wire import Ack, CandlePush, Other, Pong, parse_message
from polyscale.exchange.errors import ExchangeError
from tests.exchange.bybit_answers import FIRST_MS, MINUTE_MS
from tests.exchange.stream_fake import PONG, push
from tests.exchange.test_bybit_fuzz import JSONS, LEAVES, places_of

MESSAGES = [
    json.loads(push(FIRST_MS, FIRST_MS + MINUTE_MS, confirm=True)),
    json.loads(push(FIRST_MS, FIRST_MS + 5, confirm=False)),
    {"success": False, "ret_msg": "Invalid topic", "conn_id": "c", "req_id": "1", "op": "subscribe"},
    {"topic": "tickers.BTCUSDT", "type": "snapshot", "data": {}, "ts": FIRST_MS},
    PONG,
]
PLACES = [list(places_of(message))[1:] for message in MESSAGES]


@st.composite
def mutated(draw):
    """A sound message, one to three of whose values are replaced, removed or doubled."""
    which = draw(st.integers(0, len(MESSAGES) - 1))
    message = json.loads(json.dumps(MESSAGES[which]))
    for _ in range(draw(st.integers(1, 3))):
        *path, key = draw(st.sampled_from(PLACES[which]))
        change = draw(st.sampled_from(["replace", "remove", "double"]))
        try:
            holder = message
            for step in path:
                holder = holder[step]
            if change == "remove":
                del holder[key]
            else:
                holder[key] = [holder[key]] * 2 if change == "double" else draw(LEAVES | JSONS)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took this place away
    return json.dumps(message).encode()


@st.composite
def wounded(draw):
    """The bytes of a sound message, some of them replaced, the rest perhaps cut off."""
    body = bytearray(json.dumps(draw(st.sampled_from(MESSAGES))).encode())
    for _ in range(draw(st.integers(0, 4))):
        body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return bytes(body[: draw(st.integers(0, len(body)))]) if draw(st.booleans()) else bytes(body)


BODIES = st.one_of(
    st.binary(max_size=60), st.text(max_size=60), JSONS.map(json.dumps), mutated(), mutated(), wounded()
)


def check(body, category):
    try:
        read = parse_message(body, category)
    except ExchangeError:
        return
    if not isinstance(read, list):
        assert isinstance(read, Ack | Pong | Other)
        return
    assert read
    for one in read:
        assert isinstance(one, CandlePush)
        kline, step_ms = one.kline, one.timeframe.ms
        assert (kline.start_ms - one.timeframe.offset_ms) % step_ms == 0
        assert 0 < kline.low <= min(kline.open, kline.close)
        assert max(kline.open, kline.close) <= kline.high < math.inf
        assert 0 <= min(kline.volume, kline.turnover) <= max(kline.volume, kline.turnover) < math.inf
        assert not one.is_closed or one.ts_ms >= kline.start_ms + step_ms - 1_000


@settings(max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BODIES, st.sampled_from(CATEGORIES))
def test_no_message_gives_anything_but_sound_candles_or_our_own_error(body, category):
    check(body, category)


@pytest.mark.slow
@settings(max_examples=100_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BODIES, st.sampled_from(CATEGORIES))
def test_no_message_of_very_many_gives_anything_but_sound_candles_or_our_own_error(body, category):
    check(body, category)
