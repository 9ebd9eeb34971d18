"""What is played has the shape of what the exchange really wrote."""

import json
from pathlib import Path

import pytest

from polyscale.replay.conversation import Conversation, Topic
from polyscale.replay.pushes import Pushes
from tests.replay.market import (
    BTC,
    FIRST_MS,
    HOUR_MS,
    INVERSE,
    M1,
    MINUTE_MS,
    SPOT,
    ask,
    bars_of,
    exchange_of,
    rates_of,
    rows,
)

WIRE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "bybit_wire"
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not WIRE.is_dir(), reason="the folder of real messages is absent"),
]
HELD = {(market, M1): bars_of() for market in (BTC, SPOT, INVERSE)}
NEWER = {"symbolId", "symbolType", "xstockMultiplier"}  # only newer messages hold these


def real(name):
    return json.loads((WIRE / name).read_text())


def real_frames():
    lines = (WIRE / "ws_testnet_real_frames_2026-09-15.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def shape(value):
    """Types all the way down; a list has the shape of its first item."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items() if name not in NEWER}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value)


def pushed():
    exchange = exchange_of(FIRST_MS)
    pushes = Pushes(exchange.holdings, exchange.faults, 20, FIRST_MS)
    pushes.watch(Topic("linear", "kline.1.BTCUSDT"))
    return [json.loads(text) for _, text in pushes.due(FIRST_MS + MINUTE_MS)]


def test_pushes_have_the_shape_of_real_frames():
    frames = [frame for frame in real_frames() if frame.get("topic", "").startswith("kline")]
    assert frames
    for frame in [*frames, real("adapter_fixtures/ws_kline.json")]:
        assert [shape(push) for push in pushed()] == [shape(frame)] * 2
        assert list(pushed()[0]["data"][0]) == list(frame["data"][0])


def test_refusals_are_worded_as_on_the_testnet():
    conversation = Conversation(exchange_of(FIRST_MS).holdings, "linear", "c", lambda: 0, "public")
    said = json.loads(conversation.hear('{"op": "subscribe", "args": ["liquidations:BTCUSDT"]}'))
    (frame,) = [frame for frame in real_frames() if "success" in frame]
    assert said | {"conn_id": ""} == frame | {"conn_id": ""}


@pytest.mark.parametrize("category", ["linear", "inverse", "spot"])
def test_instruments_have_every_field_of_real_ones(category):
    exchange = exchange_of(FIRST_MS + HOUR_MS, HELD)
    _, result = ask(exchange, "instruments-info", category=category)
    wanted = shape(real(f"adapter_fixtures/http_get_instruments_{category}.json")["result"]["list"][0])
    got = shape(result["list"][0])
    for name, kind in wanted.items():
        if isinstance(kind, dict):
            assert kind.items() <= got[name].items()
        else:
            assert got[name] is kind


def test_pages_and_rates_have_the_shape_of_real_ones():
    exchange = exchange_of(FIRST_MS + HOUR_MS, funding={BTC: rates_of()})
    page = real("rebuilt_from_real_bars/rest_kline_linear_ADAUSDT_1_200.json")["result"]["list"]
    assert shape(rows(exchange)) == shape(page)
    assert len(rows(exchange)[0]) == len(page[0])
    _, result = ask(exchange, "funding/history", category="linear", symbol="BTCUSDT")
    assert shape(result) == shape(real("adapter_fixtures/http_get_funding_history.json")["result"])
