import json
from pathlib import Path

import pytest

from polyscale.exchange.bybit_candle import Kline
from polyscale.exchange.bybit_stream_wire import Ack, CandlePush, Other, Pong, parse_message
from polyscale.exchange.errors import GarbledError, WireError
from polyscale.market.timeframe import Timeframe
from tests.exchange.bybit_answers import FIRST_MS, MINUTE_MS
from tests.exchange.stream_fake import push

WIRE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "bybit_wire"
ROW = ["", "100", "102", "98.5", "101", "3.25", "325"]
CLOSE_MS = FIRST_MS + MINUTE_MS
real_data = pytest.mark.skipif(not WIRE.is_dir(), reason="the folder of real messages is absent")


def closed(confirm=True, **changes):
    return push(FIRST_MS, CLOSE_MS + 20, confirm=confirm, row=ROW, **changes)


def refusal_of(message, category="linear"):
    with pytest.raises(WireError) as refusal:
        parse_message(message, category)
    return str(refusal.value)


def test_closed_candle_is_read():
    kline = Kline(FIRST_MS, 100.0, 102.0, 98.5, 101.0, 3.25, 325.0)
    assert parse_message(closed(), "linear") == [
        CandlePush("BTCUSDT", Timeframe(1), kline, True, CLOSE_MS + 20)
    ]
    assert parse_message(closed().encode(), "spot") == parse_message(closed(), "linear")


def test_inverse_market_swaps_volume_and_turnover():
    (candle,) = parse_message(closed(topic="kline.1.BTCUSD"), "inverse")
    assert (candle.symbol, candle.kline.volume, candle.kline.turnover) == ("BTCUSD", 325.0, 3.25)


def test_one_message_may_hold_several_candles():
    message, other = json.loads(closed()), json.loads(push(CLOSE_MS, CLOSE_MS + 20, confirm=False))
    message["data"] += other["data"]
    pushes = parse_message(json.dumps(message), "linear")
    assert [(one.kline.start_ms, one.is_closed) for one in pushes] == [(FIRST_MS, True), (CLOSE_MS, False)]


def test_day_and_week_are_words_of_the_topic():
    monday_ms, day_ms = FIRST_MS, 86_400_000
    for interval, days in (("D", 1), ("W", 7)):
        changes = {"interval": interval, "end": monday_ms + days * day_ms - 1}
        message = push(
            monday_ms, monday_ms + 5, confirm=False, row=ROW, topic=f"kline.{interval}.BTCUSDT", **changes
        )
        assert parse_message(message, "linear")[0].timeframe == Timeframe(days * 1_440)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"end": CLOSE_MS}, "end must be start"),
        ({"interval": "5"}, "interval must be '1'"),
        ({"start": str(FIRST_MS)}, "a time must be in ms"),
        ({"start": FIRST_MS + 1, "end": CLOSE_MS}, "grid of 1m"),
        ({"timestamp": None}, "a time must be in ms"),
        ({"confirm": 1}, "confirm must be true or false"),
        ({"open": 100.0}, "a decimal string"),
        ({"close": "1_01"}, "a decimal string"),
        ({"high": "NaN"}, "a decimal string"),
        ({"low": "103"}, "low <= open"),
        ({"volume": "-1"}, "must be >= 0"),
        ({"topic": "kline.1.BTC USDT"}, "symbol must be one printable word"),
        ({"topic": "kline.7.BTCUSDT"}, "interval must be one that Bybit keeps"),
        ({"topic": "kline.M.BTCUSDT"}, "interval must be one that Bybit keeps"),
        ({"topic": "kline.1"}, "symbol must be one printable word"),
    ],
)
def test_candle_that_breaks_a_rule_is_refused(changes, rule):
    assert rule in refusal_of(closed(**changes))


def test_candle_must_not_close_before_its_end():
    early = push(FIRST_MS, CLOSE_MS - 5_000, confirm=True)
    assert "a candle must not close before its end" in refusal_of(early)
    assert parse_message(push(FIRST_MS, CLOSE_MS - 5_000, confirm=False), "linear")


def test_message_of_another_shape_is_refused():
    for message in ("[]", "{}", '{"topic": 1}', '{"success": "true", "ret_msg": ""}', '{"op": "auth"}'):
        assert "got" in refusal_of(message)
    without = json.loads(closed())
    for name in ("type", "ts", "data"):
        assert name in refusal_of(json.dumps({key: without[key] for key in without if key != name}))
    assert "data must hold a candle" in refusal_of(json.dumps({**without, "data": []}))
    assert "type must be 'snapshot'" in refusal_of(json.dumps({**without, "type": "delta"}))
    with pytest.raises(GarbledError):
        parse_message(closed()[:80], "linear")


def test_answers_to_our_own_ops_are_told_apart():
    accepted = '{"success": true, "ret_msg": "", "conn_id": "c", "req_id": "7", "op": "subscribe"}'
    assert parse_message(accepted, "linear") == Ack(True, "", "7")
    refused = '{"success": false, "ret_msg": "Invalid topic: x", "conn_id": "c", "op": "subscribe"}'
    assert parse_message(refused, "linear") == Ack(False, "Invalid topic: x", "")


@pytest.mark.parametrize(
    "shape",
    [
        '{"success": true, "ret_msg": "pong", "conn_id": "c", "req_id": "", "op": "ping"}',
        '{"req_id": "1", "op": "pong", "args": ["1675418560633"], "conn_id": "c"}',
        '{"pong": 1653296711335}',
    ],
)
def test_every_shape_of_pong_is_a_pong(shape):
    assert parse_message(shape, "spot") == Pong()


def test_another_topic_is_ignored():
    assert parse_message('{"topic": "tickers.BTCUSDT", "data": {}}', "linear") == Other("tickers.BTCUSDT")


@pytest.mark.real_data
@real_data
def test_messages_that_the_exchange_sent_are_read():
    frames = (WIRE / "ws_testnet_real_frames_2026-09-15.jsonl").read_text().splitlines()
    candles, trades, refused = (parse_message(frame, "linear") for frame in frames)
    assert candles[0].kline.open == 77257.2
    assert isinstance(trades, Other)
    assert not refused.success
    assert "liquidations:BTCUSDT" in refused.said


@pytest.mark.real_data
@real_data
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("adapter_fixtures/ws_kline.json", list),
        ("adapter_fixtures/ws_public_trade.json", Other),
        ("adapter_fixtures/ws_subscription_ack.json", Ack),
        ("adapter_fixtures/ws_subscription_failure.json", Ack),
        ("adapter_fixtures/ws_ticker_linear.json", Other),
        ("documentation_examples/websocket__public__kline_example0.json", list),
    ],
)
def test_messages_of_the_documentation_are_read(path, kind):
    assert isinstance(parse_message((WIRE / path).read_bytes(), "linear"), kind)
