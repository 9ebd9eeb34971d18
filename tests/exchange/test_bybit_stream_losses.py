import asyncio
import json
import logging

import pytest

from polyscale.exchange.errors import BannedError, RegionError
from tests.exchange.bybit_answers import MINUTE_MS, candle
from tests.exchange.stream_fake import FakeStream, after_s, at, bars, follow, opened, push
from tests.leap import run


def test_candles_missed_while_away_come_by_rest_before_any_pushed_one(caplog):
    fake = FakeStream(handshakes=[None, *[(503, "maintenance")] * 9])
    events, counts = run(follow(fake, 9, during=after_s(70, fake.drop)))
    assert events == bars(0, 8)
    assert (counts.num_connects, counts.num_losses) == (2, 10)
    assert counts.num_backfills >= 1
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 10
    assert all("connecting again in" in warning for warning in warnings)


def test_bar_missed_while_away_is_asked_for_at_once_after_the_reconnect():
    fake = FakeStream(acks=[None, ""])

    async def end_s():
        events, _ = await follow(fake, 2, during=after_s(110, fake.drop), ack_s=12.0)
        return events, asyncio.get_running_loop().time()

    events, now_s = run(end_s())
    assert events == bars(0, 1)
    assert 122.5 < now_s < 124  # not only after the grace, at 125


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


@pytest.mark.parametrize(
    ("text", "error"), [("CloudFront: blocked", RegionError), ("access too frequent", BannedError)]
)
def test_forbidden_handshake_ends_the_stream(text, error):
    fake = FakeStream(handshakes=[(403, text)])
    with pytest.raises(error, match="handshake"):
        run(follow(fake, 1))
    assert len(fake.connected_s) == 1


def test_bad_messages_are_counted_and_what_they_held_comes_by_rest(caplog):
    fake = FakeStream()
    fake.unconfirmed = {at(0)}
    unknown = push(at(0), at(0) + 5, confirm=False, topic="kline.1.OTHER")
    far = push(at(0), at(0) + 2_000_000, confirm=False)
    fake.greetings = ["nonsense", unknown, far, json.dumps({"topic": "tickers.X"})]
    events, counts = run(follow(fake, 2))
    assert events == bars(0, 1)
    assert (counts.num_bad_messages, counts.num_connects) == (3, 1)
    assert caplog.text.count("message dropped") == 1  # the first of a row tells


def test_many_bad_messages_in_a_row_mean_a_new_connection():
    fake = FakeStream()
    fake.greetings = ["nonsense"] * 10
    after = after_s(0.5, fake.greetings.clear)
    events, counts = run(follow(fake, 2, during=after))
    assert events == bars(0, 1)
    assert counts.num_connects == 2


def test_sound_candle_between_bad_messages_keeps_the_connection():
    fake = FakeStream()
    fake.greetings = [*["nonsense"] * 9, push(at(0), at(0) + 5, confirm=False), *["nonsense"] * 9]
    _, counts = run(follow(fake, 2))
    assert (counts.num_bad_messages, counts.num_connects) == (18, 1)


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
    assert "ts must lie at most 600 s past" in caplog.text


class FormingFake(FakeStream):
    """REST gives the forming candle too, with numbers that are not its last ones."""

    def __init__(self):
        super().__init__()
        self.asked_early = 0

    def candles(self, params):
        forming_ms = self.now_ms // MINUTE_MS * MINUTE_MS
        self.revised = {forming_ms: [*candle(forming_ms)[:5], "0.001", "0.1"]}
        settled_ms = self.now_ms - 2_000
        self.asked_early += int(params["end"]) + MINUTE_MS > settled_ms
        return super().candles(params)


@pytest.mark.parametrize("ahead_s", [1, 20, 50])
def test_message_from_ahead_gives_out_no_bar_before_its_close(ahead_s):
    fake = FormingFake()
    fake.unconfirmed = {at(i) for i in range(3)}  # so that REST is asked, by a clock that is ahead
    fake.greetings = [push(at(0), at(0) + 1_000 * ahead_s, confirm=False)]
    given_s = []

    async def take():
        async with opened(fake) as coming:
            for expected in bars(0, 3):
                assert await anext(coming) == expected
                given_s.append(asyncio.get_running_loop().time())

    run(take())
    assert all(given >= 60 * (i + 1) for i, given in enumerate(given_s))


def test_rest_is_not_asked_for_a_bar_that_has_not_settled():
    fake = FormingFake()
    fake.unconfirmed = {at(i) for i in range(5)}
    events, _ = run(follow(fake, 5, confirm_grace_s=0.1))
    assert events == bars(0, 4)
    assert fake.asked_early == 0
