"""What is said on a WebSocket and what is pushed, over real sockets on made-up time."""

import asyncio

import polars as pl
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from polyscale.market.bars import Market
from polyscale.replay.server import ReplayServer
from tests.leap import run
from tests.replay.listening import candle_of, confirmed, listen, listening
from tests.replay.market import (
    BTC,
    DAY_MS,
    ETH,
    FIRST_MS,
    INVERSE,
    M1,
    M5,
    MINUTE_MS,
    SPOT,
    bars_of,
    exchange_of,
    rows,
    wire_row,
)

TOPIC = "kline.1.BTCUSDT"
WORDS = ("1", "3", "5", "15", "30", "60", "120", "240", "360", "720", "D")


def numbers_of(candle):
    return [
        candle["start"],
        *(float(candle[name]) for name in ("open", "high", "low", "close", "volume", "turnover")),
    ]


def heard(seconds, *topics, category="linear", now_ms=FIRST_MS, **settings):
    async def story(_, listener):
        assert (await listener.subscribe(*topics))["success"]
        return await listener.hear_for(seconds)

    return listen(exchange_of(now_ms, **{"push_every_s": 20, **settings}), story, category)


def test_closed_candles_come_once_each_at_their_close():
    candles = confirmed(heard(200, TOPIC))
    wanted = [wire_row(bar) for bar in bars_of()[:3].iter_rows(named=True)]
    assert [numbers_of(candle) for candle in candles] == wanted
    for candle in candles:
        assert candle["end"] == candle["start"] + MINUTE_MS - 1
        assert 0 <= candle["timestamp"] - candle["end"] <= 100


def test_the_candle_forms_between_its_open_and_its_close():
    pushes = heard(130, TOPIC)
    shown = [(candle["start"], candle["confirm"]) for candle in map(candle_of, pushes)]
    first, second, third = (FIRST_MS + idx * MINUTE_MS for idx in range(3))
    forming, closed = False, True
    assert shown == [
        *[(first, forming)] * 2,
        (first, closed),
        *[(second, forming)] * 3,
        (second, closed),
        (third, forming),
    ]
    for push in pushes:
        assert push["topic"] == TOPIC
        assert push["type"] == "snapshot"
        assert push["ts"] == candle_of(push)["timestamp"]


def test_a_push_has_the_fields_and_types_of_the_exchange():
    candle = candle_of(heard(30, TOPIC)[0])
    numbers = {"start", "end", "timestamp"}
    texts = {"interval", "open", "close", "high", "low", "volume", "turnover"}
    assert candle.keys() == numbers | texts | {"confirm"}
    assert all(type(candle[name]) is int for name in numbers)
    assert all(type(candle[name]) is str for name in texts)
    assert candle["confirm"] is False


def test_what_is_pushed_is_what_rest_shows_then():
    async def story(server, listener):
        await listener.subscribe("kline.60.BTCUSDT")
        push = candle_of(await listener.hear())
        row = rows(server.exchange, interval="60", limit=1)[0]
        return push, row

    push, row = listen(exchange_of(FIRST_MS + 90 * MINUTE_MS, push_every_s=20), story)
    assert row[0] == str(push["start"])
    assert row[1:5] == [push[name] for name in ("open", "high", "low", "close")]


def test_a_bar_that_is_absent_is_not_pushed():
    bars = bars_of()[[0, 2]]
    pushes = heard(400, TOPIC, bars={(BTC, M1): bars})
    assert {candle["start"] for candle in map(candle_of, pushes)} == {FIRST_MS, FIRST_MS + 2 * MINUTE_MS}
    assert len(confirmed(pushes)) == 2


def test_after_the_last_bar_nothing_comes():
    assert heard(500, TOPIC, now_ms=FIRST_MS + 2 * DAY_MS) == []


def test_several_intervals_close_together():
    pushes = heard(
        320,
        TOPIC,
        "kline.5.BTCUSDT",
        "kline.5.ETHUSDT",
        bars={(BTC, M1): bars_of(), (ETH, M5): bars_of(timeframe=M5)},
    )
    closed = [(candle["interval"], candle["start"]) for candle in confirmed(pushes)]
    assert closed == [
        *(("1", FIRST_MS + idx * MINUTE_MS) for idx in range(5)),
        ("5", FIRST_MS),
        ("5", FIRST_MS),
    ]


def test_volume_and_turnover_are_swapped_in_inverse_markets():
    pushes = heard(70, "kline.1.BTCUSD", category="inverse", bars={(INVERSE, M1): bars_of()})
    (candle,) = confirmed(pushes)
    bar = wire_row(bars_of().row(0, named=True))
    assert numbers_of(candle)[5:] == [bar[6], bar[5]]


def test_speed_makes_the_exchange_hurry():
    assert len(confirmed(heard(60.5, TOPIC, speed=60.0))) == 60


def test_pushes_go_to_who_listens_only():
    async def story(server, listener):
        await listener.subscribe(TOPIC)
        async with listening(server) as other:
            assert await other.hear_for(100) == []
            await other.subscribe("kline.5.BTCUSDT")
            assert {push["topic"] for push in await other.hear_for(100)} == {"kline.5.BTCUSDT"}
        return await listener.hear_for(60)

    assert {push["topic"] for push in listen(exchange_of(FIRST_MS, push_every_s=20), story)} == {TOPIC}


def test_unsubscribing_ends_the_pushes():
    async def story(_, listener):
        await listener.subscribe(TOPIC)
        await listener.say(op="unsubscribe", args=[TOPIC], req_id="u")
        ack = await listener.hear()
        return ack, await listener.hear_for(300)

    ack, after = listen(exchange_of(FIRST_MS, push_every_s=20), story)
    assert (ack["success"], ack["op"], ack["req_id"]) == (True, "unsubscribe", "u")
    assert after == []


def said_back(*said, category="linear", **settings):
    """The reply to the last of several requests."""

    async def story(_, listener):
        for request in said:
            await listener.say(**request)
            reply = await listener.hear()
        return reply

    bars = {(BTC, M1): bars_of(), (SPOT, M1): bars_of()}
    return listen(exchange_of(FIRST_MS - MINUTE_MS, bars, push_every_s=60, **settings), story, category)


def test_a_subscription_is_acknowledged_with_its_request():
    reply = said_back({"op": "subscribe", "args": [TOPIC], "req_id": "7"})
    assert reply.pop("conn_id")
    assert reply == {"success": True, "ret_msg": "", "req_id": "7", "op": "subscribe"}


@pytest.mark.parametrize(
    ("topics", "said"),
    [
        (["liquidations:BTCUSDT"], "error:handler not found,topic:liquidations:BTCUSDT"),
        (["kline.7.BTCUSDT"], "error:handler not found,topic:kline.7.BTCUSDT"),
        (["kline.1.NOPE"], "Invalid symbol :[kline.1.NOPE]"),
        ([], "error:args must be a list of topics"),
        ([f"kline.1.COIN{idx}USDT" for idx in range(1_500)], "error:args length >21000"),
    ],
)
def test_a_request_with_a_wrong_topic_subscribes_to_nothing(topics, said):
    async def story(_, listener):
        reply = await listener.subscribe(TOPIC, *topics) if topics else await listener.subscribe()
        return reply, await listener.hear_for(300)

    bars = {(BTC, M1): bars_of()}
    bars |= {(Market("bybit", "linear", f"COIN{idx}USDT"), M1): bars_of()[:1] for idx in range(1_500)}
    reply, after = listen(exchange_of(FIRST_MS, bars, push_every_s=20), story)
    assert (reply["success"], reply["ret_msg"], reply["op"]) == (False, said, "subscribe")
    assert after == []


def test_a_topic_is_subscribed_to_once():
    twice = {"op": "subscribe", "args": [TOPIC]}
    assert said_back(twice, twice)["ret_msg"] == f"error:already subscribed,topic:{TOPIC}"


@pytest.mark.parametrize(("num", "success"), [(10, True), (11, False)])
def test_spot_takes_ten_topics_per_request(num, success):
    topics = [f"kline.{word}.BTCUSDT" for word in WORDS]
    assert said_back({"op": "subscribe", "args": topics[:num]}, category="spot")["success"] is success


@pytest.mark.parametrize("text", ["", "nonsense", "[1]", '{"op": "dance"}', "[" * 5_000])
def test_nonsense_is_refused_and_the_connection_lives(text):
    async def story(_, listener):
        await listener.say_text(text)
        refusal = await listener.hear()
        await listener.say(op="ping")
        return refusal["success"], (await listener.hear())["ret_msg"]

    assert listen(exchange_of(FIRST_MS), story) == (False, "pong")


@pytest.mark.parametrize("category", ["linear", "spot"])
def test_a_ping_is_answered_in_the_markets_shape(category):
    reply = said_back({"op": "ping", "req_id": "p"}, category=category)
    assert reply.pop("conn_id")
    assert reply == {"success": True, "ret_msg": "pong", "req_id": "p", "op": "ping"}


def test_a_pong_may_have_the_shape_of_options():
    reply = said_back({"op": "ping"}, pong="option", reply_after_s=0.5)
    assert reply.pop("op") == "pong"
    (told_ms,) = reply.pop("args")
    assert 500 <= int(told_ms) - (FIRST_MS - MINUTE_MS) <= 600
    assert reply == {}


def test_an_idle_connection_is_cut_after_ten_minutes():
    async def story(_, listener):
        await listener.subscribe(TOPIC)
        with pytest.raises(ConnectionClosed):
            await listener.hear_for(700)
        return asyncio.get_running_loop().time()

    assert listen(exchange_of(FIRST_MS, push_every_s=20), story) == pytest.approx(600, abs=2)


def test_pings_keep_a_connection():
    async def story(_, listener):
        for _ in range(5):
            await listener.hear_for(400)
            await listener.say(op="ping")
        return (await listener.hear())["ret_msg"]

    assert listen(exchange_of(FIRST_MS), story) == "pong"


def test_dropped_connections_end_without_a_close_frame():
    async def story(server, listener):
        await listener.subscribe(TOPIC)
        server.drop_connections()
        with pytest.raises(ConnectionClosed) as ended:
            await listener.hear_for(60)
        await asyncio.sleep(1)
        return ended.value.rcvd, server.num_connections

    assert listen(exchange_of(FIRST_MS), story) == (None, 0)


def test_stalled_connections_stay_open_and_silent():
    async def story(server, listener):
        await listener.subscribe(TOPIC)
        server.stall_connections()
        await listener.say(op="ping")
        after = await listener.hear_for(120)
        async with listening(server) as other:
            await other.subscribe(TOPIC)
            fresh = await other.hear_for(60)
        return after, await listener.ping_frame(), server.num_connections, len(fresh) > 0

    assert listen(exchange_of(FIRST_MS, push_every_s=20), story) == ([], False, 1, True)


def test_a_ping_frame_is_answered():
    assert listen(exchange_of(FIRST_MS), lambda _, listener: listener.ping_frame())


def test_a_client_that_takes_nothing_is_cut_and_the_others_are_served():
    async def happen():
        exchange = exchange_of(FIRST_MS, push_every_s=0.1, speed=100.0, max_behind=100)
        async with ReplayServer(exchange) as server, listening(server) as eager:
            async with listening(server, receive_bytes=4_096) as lazy:
                await lazy.subscribe(*(f"kline.{word}.BTCUSDT" for word in WORDS))
                await eager.subscribe(TOPIC)
                while server.num_connections == 2:
                    await eager.hear()
            return confirmed(await eager.hear_for(1))

    assert run(happen())


def test_other_streams_are_not_there():
    async def happen():
        async with ReplayServer(exchange_of(FIRST_MS)) as server:
            with pytest.raises(InvalidStatus) as refused:
                async with listening(server, "nothing"):
                    pass
            return refused.value.response.status_code

    assert run(happen()) == 404


def test_nothing_of_the_future_is_pushed():
    begun = pl.col("close_time").dt.epoch("ms") - MINUTE_MS <= FIRST_MS + 100_000
    other = bars_of().with_columns(pl.when(begun).then("close").otherwise("open").alias("close"))
    topics = ("kline.1.BTCUSDT", "kline.5.BTCUSDT", "kline.D.BTCUSDT")
    assert heard(99, *topics, bars={(BTC, M1): other}) == heard(99, *topics)
