import asyncio
import json
import logging
from contextlib import aclosing, asynccontextmanager

import httpx2
import pytest

from polyscale.exchange.bybit_errors import BadRequestError, BannedError, RegionError
from polyscale.exchange.bybit_stream import BybitStream, ClosedBar, Hole, Revision, StreamSettings
from polyscale.exchange.bybit_wire import parse_klines
from polyscale.market.bars import Market
from polyscale.market.errors import ConfigError
from polyscale.market.timeframe import Timeframe
from tests.exchange.bybit_answers import BTC, FIRST_MS, MINUTE_MS, answer, client_of, kline_answer, ok
from tests.exchange.stream_fake import M1, SERIES, FakeStream, follow, push, row_of
from tests.leap import run

BUSY = httpx2.Response(503)


def at(i):
    return FIRST_MS + i * MINUTE_MS


def kline(i, row=None):
    return parse_klines(kline_answer(row or row_of(at(i))), "linear", "BTCUSDT", M1).rows[0]


def bars(first, last, market=BTC):
    return [ClosedBar(market, M1, kline(i)) for i in range(first, last + 1)]


@asynccontextmanager
async def opened(fake, answer_rest=None):
    """The events of a stream, to be taken one by one."""
    async with (
        asyncio.timeout(10_000),
        fake.serving() as url,
        client_of(answer_rest or fake.answer) as client,
        aclosing(BybitStream(client, url).events(SERIES)) as coming,
    ):
        yield coming


def after_s(seconds, do):
    async def wait():
        await asyncio.sleep(seconds)
        do()

    return wait


def test_bars_come_as_they_close_from_the_one_that_forms_now():
    events, counts = run(follow(FakeStream(), 3))
    assert events == bars(0, 2)
    assert (counts.num_connects, counts.num_backfills, counts.num_bad_messages) == (1, 0, 0)


def test_history_comes_first_and_at_once():
    fake = FakeStream()

    async def count_until():
        events, _ = await follow(fake, 2_501, {(BTC, M1): at(-2_500)})
        return events, asyncio.get_running_loop().time()

    events, now_s = run(count_until())
    assert events == bars(-2_500, 0)
    assert now_s == pytest.approx(60, abs=1)


def test_slow_reader_misses_nothing():
    fake = FakeStream()

    async def read_slowly():
        async with opened(fake) as coming:
            events = [await anext(coming)]
            await asyncio.sleep(3_600)
            before_s = asyncio.get_running_loop().time()
            events += [await anext(coming) for _ in range(60)]
            assert asyncio.get_running_loop().time() == pytest.approx(before_s, abs=0.01)
            return events

    assert run(read_slowly()) == bars(0, 60)


def test_candles_missed_while_away_come_by_rest_before_any_pushed_one(caplog):
    fake = FakeStream(handshakes=[None, *[(503, "maintenance")] * 9])
    events, counts = run(follow(fake, 9, during=after_s(70, fake.drop)))
    assert events == bars(0, 8)
    assert (counts.num_connects, counts.num_losses) == (2, 10)
    assert counts.num_backfills >= 1
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 10
    assert all("connecting again in" in warning for warning in warnings)


def test_waits_grow_to_their_cap_and_shrink_again_after_a_healthy_minute():
    fake = FakeStream(handshakes=[(503, "")] * 10)

    async def lose_it_twice():
        await asyncio.sleep(400)
        for _ in range(2):
            fake.drop()
            await asyncio.sleep(120)

    run(follow(fake, 10, during=lose_it_twice))
    waits_s = [later - before for before, later in zip(fake.connected_s, fake.connected_s[1:], strict=False)]
    for i, wait_s in enumerate(waits_s[:10]):
        longest_s = min(0.5 * 2**i, 30.0)
        assert max(0.5 * longest_s, 1.0) - 0.01 <= wait_s <= max(longest_s, 1.0) + 0.1
    assert len(fake.connected_s) == 13


def test_connections_keep_their_distance_whatever_the_backoff():
    fake = FakeStream(handshakes=[(503, "")] * 20)
    run(follow(fake, 1, backoff_s=0.001, max_backoff_s=0.001))
    waits_s = [later - before for before, later in zip(fake.connected_s, fake.connected_s[1:], strict=False)]
    assert len(waits_s) == 20
    assert min(waits_s) >= 0.99


def test_silence_means_a_new_connection():
    fake = FakeStream()
    events, counts = run(follow(fake, 5, during=after_s(90, fake.stall)))
    assert events == bars(0, 4)
    assert counts.num_connects == 2
    assert fake.connected_s[1] == pytest.approx(111, abs=1)


def test_pongs_without_candles_mean_a_new_connection():
    fake = FakeStream()
    lost = FakeStream.__dict__["_tick"]
    fake._tick = lambda socket, topics: lost(fake, socket, topics if len(fake.connected_s) > 1 else [])
    events, counts = run(follow(fake, 5))
    assert events == bars(0, 4)
    assert (counts.num_connects, counts.num_losses) == (2, 1)
    assert fake.connected_s[1] == pytest.approx(151, abs=2)


@pytest.mark.parametrize("pong", [{"op": "pong", "args": ["1"], "req_id": "", "conn_id": "c"}, {"pong": 1}])
def test_ping_is_sent_and_any_pong_keeps_the_connection(pong):
    fake = FakeStream()
    fake.pong = pong
    _, counts = run(follow(fake, 5))
    assert sum(request == {"op": "ping"} for request in fake.requests) in (14, 15)
    assert counts.num_bad_messages == 0


def test_subscription_without_answer_means_a_new_connection():
    fake = FakeStream(acks=["", ""])
    events, counts = run(follow(fake, 2))
    assert events == bars(0, 1)
    assert counts.num_connects == 3
    assert fake.connected_s[1] == pytest.approx(10.5, abs=0.6)


def test_unknown_topic_ends_the_stream_by_name():
    said = "error:handler not found,topic:kline.1.NOPE"
    fake = FakeStream(acks=[{"success": False, "ret_msg": said, "req_id": "", "op": "subscribe"}])
    series = {(BTC, M1): None, (Market("bybit", "linear", "NOPE"), M1): None}
    with pytest.raises(BadRequestError, match=r"for kline\.1\.NOPE; check the symbol"):
        run(follow(fake, 1, series))


@pytest.mark.parametrize(
    ("text", "error"), [("CloudFront: blocked", RegionError), ("access too frequent", BannedError)]
)
def test_forbidden_handshake_ends_the_stream(text, error):
    fake = FakeStream(handshakes=[(403, text)])
    with pytest.raises(error, match="handshake"):
        run(follow(fake, 1))
    assert len(fake.connected_s) == 1


def test_forbidden_rest_ends_the_stream_after_the_events_before_it():
    fake = FakeStream(faults=[httpx2.Response(403, content=b"access too frequent")])
    fake.unconfirmed = {at(2)}

    async def read_all():
        async with opened(fake) as coming:
            events = [await anext(coming), await anext(coming)]
            with pytest.raises(BannedError):
                await anext(coming)
            return events

    assert run(read_all()) == bars(0, 1)


def test_spot_is_subscribed_ten_at_a_time_each_answered():
    fake = FakeStream()
    markets = [Market("bybit", "spot", f"C{i}USDT") for i in range(25)]
    events, _ = run(follow(fake, 25, dict.fromkeys([(market, M1) for market in markets])))
    asked = [request["args"] for request in fake.requests if request["op"] == "subscribe"]
    assert [len(args) for args in asked] == [10, 10, 5]
    assert [event.market for event in events] == markets


def test_categories_have_connections_of_their_own_and_long_lists_several():
    fake = FakeStream()
    markets = [Market("bybit", kind, f"C{i}USDT") for kind in ("spot", "inverse") for i in range(8)]
    series = dict.fromkeys([(market, M1) for market in markets])
    events, counts = run(follow(fake, 16, series, max_topic_characters=100))
    assert {event.market for event in events} == set(markets)
    assert counts.num_connects == 4
    assert min(b - a for a, b in zip(fake.connected_s, fake.connected_s[1:], strict=False)) >= 0.99


def test_missing_confirm_is_made_up_by_rest_after_the_grace():
    fake = FakeStream()
    fake.unconfirmed = {at(1)}

    async def time_of_second():
        async with opened(fake) as coming:
            return [await anext(coming), await anext(coming)], asyncio.get_running_loop().time()

    events, now_s = run(time_of_second())
    assert events == bars(0, 1)
    assert now_s == pytest.approx(125, abs=0.5)


def test_late_and_doubled_confirms_change_nothing():
    fake = FakeStream()
    fake.late, fake.doubled = {at(1): 50}, {at(2), at(3)}
    events, counts = run(follow(fake, 6))
    assert events == bars(0, 5)
    assert counts.num_backfills == 1


def test_bad_messages_are_counted_and_what_they_held_comes_by_rest(caplog):
    fake = FakeStream()
    fake.unconfirmed = {at(0)}
    unknown = push(at(0), at(0) + 5, confirm=False, topic="kline.1.OTHER")
    far = push(at(0), at(0) + 200_000, confirm=False)
    fake.greetings = ["nonsense", unknown, far, json.dumps({"topic": "tickers.X"})]
    events, counts = run(follow(fake, 2))
    assert events == bars(0, 1)
    assert (counts.num_bad_messages, counts.num_connects) == (3, 1)
    assert caplog.text.count("message dropped") == 3


def test_many_bad_messages_in_a_row_mean_a_new_connection():
    fake = FakeStream()
    fake.greetings = ["nonsense"] * 10
    after = after_s(0.5, fake.greetings.clear)
    events, counts = run(follow(fake, 2, during=after))
    assert events == bars(0, 1)
    assert counts.num_connects == 2


def test_revision_is_told_when_rest_has_other_numbers_for_a_bar_given_out():
    fake = FakeStream()
    fake.revised = {at(1): [str(at(1)), "7", "9", "5", "8", "1", "8"]}
    fake.unconfirmed = {at(2)}
    events, _ = run(follow(fake, 4))
    assert events == [
        *bars(0, 1),
        Revision(BTC, M1, kline(1), kline(1, fake.revised[at(1)])),
        *bars(2, 2),
    ]


def test_bar_that_the_exchange_does_not_have_becomes_a_hole_after_the_patience():
    fake = FakeStream(missing={at(1), at(2)})
    fake.unconfirmed = {at(1), at(2)}
    events, _ = run(follow(fake, 4))
    assert events == [*bars(0, 0), Hole(BTC, M1, at(1), at(1)), Hole(BTC, M1, at(2), at(2)), *bars(3, 3)]


def test_bar_that_rest_has_late_is_no_hole():
    fake = FakeStream(missing={at(1)})
    fake.unconfirmed = {at(1)}
    events, _ = run(follow(fake, 3, during=after_s(145, fake.missing.clear)))
    assert events == bars(0, 2)


def test_busy_or_odd_rest_is_asked_again_later_and_nothing_is_lost(caplog):
    odd = ok(kline_answer(symbol="ETHUSDT"))
    fake = FakeStream(faults=[BUSY] * 8 + [odd])
    fake.unconfirmed = {at(1)}
    events, counts = run(follow(fake, 6))
    assert events == bars(0, 5)
    assert counts.num_busy_backfills == 2
    assert caplog.text.count("asking again in") == 2


def test_start_waits_for_a_busy_exchange():
    fake = FakeStream()
    num_busy = 10

    async def busy_at_first(request):
        nonlocal num_busy
        num_busy -= 1
        return BUSY if num_busy >= 0 else await fake.answer(request)

    async def first_two():
        async with opened(fake, busy_at_first) as coming:
            return [await anext(coming), await anext(coming)]

    assert [type(event) for event in run(first_two())] == [ClosedBar] * 2


def test_unknown_symbol_of_history_ends_the_stream():
    fake = FakeStream(faults=[ok(answer({}, 10001, "Not supported symbols"))])
    with pytest.raises(BadRequestError, match="Not supported symbols"):
        run(follow(fake, 1, {(BTC, M1): at(-5)}))


def test_closing_the_generator_closes_connections_and_ends_every_task():
    fake = FakeStream()

    async def leave_early():
        before = asyncio.all_tasks()
        async with opened(fake) as coming:
            await anext(coming)
            await coming.aclose()
            await asyncio.sleep(0.1)
            assert not fake.sockets
        await asyncio.sleep(1)
        assert asyncio.all_tasks() == before

    run(leave_early())


def test_closing_does_not_wait_for_a_connection_that_has_fallen_silent():
    fake = FakeStream()

    async def leave_stalled():
        async with opened(fake) as coming:
            await anext(coming)
            for socket in fake.sockets:
                socket.transport.pause_reading()
            before_s = asyncio.get_running_loop().time()
            await coming.aclose()
            return asyncio.get_running_loop().time() - before_s

    assert run(leave_stalled()) <= 1.1


def test_exchange_whose_clock_leaps_is_followed_by_its_rest(caplog):
    fake = FakeStream()

    def leap_by_an_hour():
        fake.ahead_ms = 60 * MINUTE_MS

    events, counts = run(follow(fake, 70, during=after_s(130, leap_by_an_hour)))
    assert events == bars(0, 69)
    assert counts.num_connects == 2
    assert "ts must lie at most 60 s past" in caplog.text


def test_cancelled_reader_ends_every_task():
    fake = FakeStream()

    async def cancel():
        before = asyncio.all_tasks()
        reader = asyncio.create_task(follow(fake, 10))
        await asyncio.sleep(90)
        reader.cancel()
        await asyncio.sleep(2)
        assert reader.cancelled()
        assert not fake.sockets
        assert asyncio.all_tasks() == before

    run(cancel())


@pytest.mark.parametrize(
    ("series", "rule"),
    [
        ({}, "at least one market"),
        ({(Market("bybit", "option", "BTCUSDT"), M1): None}, "must be of 'bybit'"),
        ({(Market("binance", "spot", "BTCUSDT"), M1): None}, "must be of 'bybit'"),
        ({(BTC, Timeframe(2)): None}, "one that Bybit keeps"),
        ({(BTC, Timeframe(5)): FIRST_MS + MINUTE_MS}, "must lie on the grid of 5m"),
    ],
)
def test_series_that_cannot_be_followed_are_refused_at_once(series, rule):
    with pytest.raises(ConfigError, match=rule):
        BybitStream(FakeStream().client()).events(series)


def test_url_must_be_one_of_a_websocket():
    with pytest.raises(ConfigError, match="https://api"):
        BybitStream(FakeStream().client(), "https://api.bybit.com")
    with pytest.raises(ValueError, match="silence_s"):
        StreamSettings(silence_s=0)
