import asyncio
import json

import pytest

from polyscale.exchange.bybit_connection import backoff_s, in_connections, in_requests
from polyscale.exchange.errors import WireError
from polyscale.exchange.stream_settings import StreamSettings
from tests.exchange.stream_fake import FakeStream, follow
from tests.leap import run

TOPICS = [f"kline.1.COIN{i}USDT" for i in range(1_200)]


def test_topics_are_spread_over_connections_by_their_characters():
    runs = list(in_connections(TOPICS, 21_000))
    assert [topic for topics in runs for topic in topics] == TOPICS
    assert len(runs) == 2
    assert all(len(json.dumps(topics)) <= 21_000 for topics in runs)
    assert list(in_connections([], 21_000)) == []


def test_spot_takes_ten_topics_per_request_and_others_all_at_once():
    assert [len(topics) for topics in in_requests(TOPICS[:23], "spot")] == [10, 10, 3]
    assert list(in_requests(TOPICS, "linear")) == [TOPICS]


def test_wait_is_doubled_up_to_the_cap_and_scattered_below():
    settings = StreamSettings(backoff_s=1, max_backoff_s=30)
    for num_failures, longest_s in ((1, 1), (2, 2), (5, 16), (6, 30), (5_000, 30)):
        waits_s = [backoff_s(num_failures, settings) for _ in range(200)]
        assert longest_s / 2 <= min(waits_s) < max(waits_s) <= longest_s


def test_wrong_address_is_final_but_not_once_it_was_right():
    with pytest.raises(WireError, match="got 404"):
        run(follow(FakeStream(handshakes=[(404, "no such page")]), 1))
    fake = FakeStream(handshakes=[None, (404, "no such page"), (302, "elsewhere")])

    async def cut():
        await asyncio.sleep(70)
        fake.drop()

    _, counts = run(follow(fake, 3, during=cut))
    assert (counts.num_connects, counts.num_losses) == (2, 3)
