import asyncio

import pytest

from polyscale.exchange.errors import WireError
from polyscale.exchange.server_clock import ServerClock
from tests.exchange.bybit_answers import FIRST_MS
from tests.leap import run


def told(*steps, max_ahead_s=60.0):
    """Milliseconds since `FIRST_MS`, to which REST set the clock, once each step was waited for and told."""

    async def tell():
        clock = ServerClock(max_ahead_s)
        clock.set(FIRST_MS)
        for wait_s, server_ms in steps:
            await asyncio.sleep(wait_s)
            if server_ms is not None:
                clock.observe("test", FIRST_MS + server_ms)
        return clock.now_ms() - FIRST_MS

    return run(tell())


def test_clock_goes_on_by_the_loops_time():
    assert told((12.5, None)) == pytest.approx(12_500, abs=1)


def test_newer_time_of_a_message_counts_and_an_older_one_does_not():
    assert told((10, 10_300)) == pytest.approx(10_300, abs=1)
    assert told((10, 9_000)) == pytest.approx(10_000, abs=1)
    assert told((10, 10_300), (10, 20_100)) == pytest.approx(20_300, abs=1)


def test_lead_that_is_ten_minutes_old_gives_way_to_a_smaller_one():
    assert told((1, 2_000), (590, 591_000)) == pytest.approx(592_000, abs=1)
    assert told((1, 2_000), (601, 602_000)) == pytest.approx(602_000, abs=1)


def test_time_far_ahead_is_not_believed():
    with pytest.raises(WireError, match="at most 60 s past"):
        told((1, 62_000))
    assert told((1, 62_000), max_ahead_s=100) == pytest.approx(62_000, abs=1)


def test_loop_time_of_an_instant_is_when_the_clock_reaches_it():
    async def wait_for_it():
        clock = ServerClock()
        clock.set(FIRST_MS)
        await asyncio.sleep(clock.loop_s(FIRST_MS + 90_000) - asyncio.get_running_loop().time())
        return clock.now_ms()

    assert run(wait_for_it()) == pytest.approx(FIRST_MS + 90_000, abs=1)
