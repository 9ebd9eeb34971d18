import asyncio

import httpx2
import pytest

from polyscale.exchange.bybit_stream import BybitStream, ClosedBar, Hole, Revision, StreamSettings
from polyscale.exchange.errors import BadRequestError, BannedError
from polyscale.market.bars import Market
from polyscale.market.errors import ConfigError
from polyscale.market.timeframe import Timeframe
from tests.exchange.bybit_answers import BTC, FIRST_MS, MINUTE_MS, answer, kline_answer, ok
from tests.exchange.stream_fake import M1, FakeStream, after_s, at, bars, follow, kline, opened
from tests.leap import run

BUSY = httpx2.Response(503)


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


def test_unknown_topic_ends_the_stream_by_name():
    said = "error:handler not found,topic:kline.1.NOPE"
    fake = FakeStream(acks=[{"success": False, "ret_msg": said, "req_id": "", "op": "subscribe"}])
    series = {(BTC, M1): None, (Market("bybit", "linear", "NOPE"), M1): None}
    with pytest.raises(BadRequestError, match=r"for kline\.1\.NOPE; check the symbol"):
        run(follow(fake, 1, series))


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


def test_bar_missing_before_a_later_one_is_asked_for_at_once():
    fake = FakeStream()
    fake.unconfirmed = {at(1)}

    async def time_of_third():
        events, _ = await follow(fake, 3, confirm_grace_s=100)
        return events, asyncio.get_running_loop().time()

    events, now_s = run(time_of_third())
    assert events == bars(0, 2)
    assert now_s == pytest.approx(180, abs=0.5)  # not only after the grace, at 220


def test_late_and_doubled_confirms_change_nothing():
    fake = FakeStream()
    fake.late, fake.doubled = {at(1): 50}, {at(2), at(3)}
    events, counts = run(follow(fake, 6))
    assert events == bars(0, 5)
    assert counts.num_backfills == 1


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
