import asyncio
import itertools

import httpx2
import pytest

from polyscale.exchange.bybit_client import BybitClient
from polyscale.exchange.bybit_http import BybitSettings, reset_in_s
from polyscale.exchange.errors import (
    BadRequestError,
    BannedError,
    BusyError,
    ExchangeError,
    RegionError,
    WireError,
)
from polyscale.market.errors import ConfigError
from polyscale.market.timeframe import Timeframe
from tests.exchange.bybit_answers import BTC, FIRST_MS, MINUTE_MS, FakeBybit, answer, client_of, ok
from tests.leap import run

M1 = Timeframe(1)
LATER_MS = FIRST_MS + 10**9
TOO_OFTEN = ok(answer({}, code=10006, said="Too many visits!"))


def fetch(fake, num_bars=3, **settings):
    async def ask():
        async with fake.client(**settings) as client:
            return await client.klines(BTC, M1, FIRST_MS, FIRST_MS + num_bars * MINUTE_MS)

    return run(ask())


@pytest.mark.parametrize(
    "fault",
    [
        TOO_OFTEN,
        ok(answer({}, code=10000, said="Server Timeout")),
        ok(answer({}, code=10016, said="Server error")),
        httpx2.Response(429),
        httpx2.Response(502, html="<html>Bad Gateway</html>"),
        httpx2.ReadTimeout("slow"),
        httpx2.ConnectTimeout("slow"),
        httpx2.ConnectError("refused"),
        httpx2.RemoteProtocolError("Server disconnected"),
        ok(b""),
        ok(b'{"retCode": 0, "retMsg": "OK", "resu'),
    ],
    ids=str,
)
def test_busy_exchange_is_asked_again_after_a_wait(fault):
    fake = FakeBybit(LATER_MS, faults=[fault])
    assert fetch(fake).height == 3
    assert fake.num_candle_requests == 2
    assert 0.5 <= fake.waited_s[0] <= 1.1


def test_backoff_grows_to_its_cap_and_the_attempts_end():
    fake = FakeBybit(LATER_MS, faults=[httpx2.Response(429)] * 9)
    with pytest.raises(BusyError, match=r"HTTP 429.*gave up after 5 attempts"):
        fetch(fake, attempts=5, backoff_s=1.0, max_backoff_s=3.0)
    assert fake.num_candle_requests == 5
    bounds = [(1, 2), (2, 3), (3, 3), (3, 3)]
    assert all(low <= got <= high + 0.1 for got, (low, high) in zip(fake.waited_s, bounds, strict=True))


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (httpx2.Response(403, html="<html>not available in your country</html>"), RegionError),
        (httpx2.Response(403), RegionError),
        (ok(answer({}, code=10024, said="regulation")), RegionError),
        (ok(answer({}, code=10009, said="IP banned region")), RegionError),
        (ok(answer({}, code=10001, said="symbol invalid")), BadRequestError),
        (ok(answer({}, code=33004, said="api key expired")), ExchangeError),
        (ok(b"<html><body>Maintenance</body></html>"), WireError),
        (ok(answer({})), WireError),
        (httpx2.Response(404, text="no such thing"), WireError),
        (httpx2.Response(302, headers={"Location": "https://elsewhere.example"}), WireError),
    ],
    ids=str,
)
def test_final_answer_is_not_asked_again(fault, kind):
    fake = FakeBybit(LATER_MS, faults=[fault])
    with pytest.raises(ExchangeError, match="BTCUSDT") as caught:
        fetch(fake)
    assert type(caught.value) is kind
    assert fake.num_candle_requests == 1


def test_ban_stops_everything_for_ten_minutes_and_no_longer():
    banned = httpx2.Response(403, text="access too frequent, please try again later")
    fake = FakeBybit(LATER_MS, faults=[None, None, banned])

    async def ask():
        async with fake.client(concurrency=2) as client:
            with pytest.raises(BannedError, match="got HTTP 403"):
                await client.klines(BTC, M1, FIRST_MS, FIRST_MS + 9_000 * MINUTE_MS)
            sent = len(fake.asked)
            await asyncio.sleep(599)
            with pytest.raises(BannedError, match="during a ban, 1 s of it are left"):
                await client.server_time_ms()
            assert len(fake.asked) == sent
            await asyncio.sleep(2)
            return await client.server_time_ms()

    assert run(ask()) == LATER_MS
    assert fake.num_candle_requests <= 4


def test_request_that_waits_for_its_turn_is_not_sent_once_banned():
    fake = FakeBybit(LATER_MS, faults=[TOO_OFTEN, httpx2.Response(403, text="access too frequent")])
    with pytest.raises(BannedError):
        fetch(fake, num_bars=6_000, requests_per_5s=2)
    assert fake.num_candle_requests == 2  # four more were waiting for the limiter


def test_body_above_the_cap_is_refused_before_it_is_whole():
    sent = []

    class Endless(httpx2.AsyncByteStream):
        async def __aiter__(self):
            for _ in range(1_000):
                sent.append(1)
                yield b" " * 65_536

    async def ask():
        client = client_of(lambda _: httpx2.Response(200, stream=Endless()), max_body_bytes=1_000_000)
        async with client:
            await client.server_time_ms()

    with pytest.raises(WireError, match="at most 1000000 bytes"):
        run(ask())
    assert len(sent) < 20


def test_answer_that_drips_past_the_deadline_is_busy():
    class Drip(httpx2.AsyncByteStream):
        async def __aiter__(self):
            while True:
                await asyncio.sleep(5)
                yield b" "

    async def ask():
        client = client_of(lambda _: httpx2.Response(200, stream=Drip()), attempts=2)
        async with client:
            await client.server_time_ms()

    with pytest.raises(BusyError, match="must come in time, got TimeoutError"):
        run(ask())


def test_broken_compression_is_refused():
    class Broken(httpx2.AsyncByteStream):
        async def __aiter__(self):
            yield b"no gzip at all"

    async def ask():
        broken = httpx2.Response(200, headers={"Content-Encoding": "gzip"}, stream=Broken())
        async with client_of(lambda _: broken) as client:
            await client.server_time_ms()

    with pytest.raises(WireError, match="readable HTTP"):
        run(ask())


@pytest.mark.parametrize("limit", [7, 50, 500])
def test_rate_stays_within_the_limit_over_any_5_s_whatever_the_concurrency(limit):
    fake = FakeBybit(LATER_MS)

    async def ask():
        async with fake.client(requests_per_5s=limit) as client:
            await asyncio.gather(*(client.server_time_ms() for _ in range(3 * limit)))

    run(ask())
    at_s = fake.at_s
    assert len(at_s) == 3 * limit
    for first, beyond in zip(at_s, at_s[limit:], strict=False):
        assert beyond - first >= 5 - 1e-6
    assert at_s[-1] < 5 * 3.5  # and the limit is used


def test_retries_count_in_the_rate_too():
    fake = FakeBybit(LATER_MS, faults=[TOO_OFTEN] * 40)
    fetch(fake, num_bars=30_000, requests_per_5s=10, concurrency=30, attempts=50)
    for first, beyond in zip(fake.at_s, fake.at_s[10:], strict=False):
        assert beyond - first >= 5 - 1e-6


@pytest.mark.parametrize(
    ("reset", "server_ms", "wait_s"),
    [
        (None, FIRST_MS, 0.0),
        ("", FIRST_MS, 0.0),
        ("soon", FIRST_MS, 0.0),
        ("-5", FIRST_MS, 0.0),
        ("٣", FIRST_MS, 0.0),
        ("9" * 5_000, FIRST_MS, 0.0),
        (str(FIRST_MS + 1_500), None, 0.0),
        (str(FIRST_MS - 60_000), FIRST_MS, 0.0),
        (str(FIRST_MS + 1_500), FIRST_MS, 1.5),
        (str(FIRST_MS + 10**9), FIRST_MS, 10.0),
    ],
)
def test_reset_is_never_negative_and_never_long(reset, server_ms, wait_s):
    headers = {} if reset is None else {"X-Bapi-Limit-Reset-Timestamp": reset}
    assert reset_in_s(headers, server_ms) == wait_s


@pytest.mark.parametrize("after_ms", [-60_000, 3_000])
def test_wait_lasts_at_least_until_the_reset(after_ms):
    headers = {"X-Bapi-Limit-Reset-Timestamp": str(FIRST_MS + after_ms)}
    busy = httpx2.Response(200, content=answer({}, code=10006, time_ms=FIRST_MS), headers=headers)
    fake = FakeBybit(LATER_MS, faults=[busy])
    assert fetch(fake).height == 3
    low, high = (3.0, 3.1) if after_ms > 0 else (0.5, 1.1)
    assert low <= fake.waited_s[0] <= high


def test_random_order_of_faults_changes_no_bar():
    kinds = [TOO_OFTEN, httpx2.Response(429), httpx2.ReadTimeout("slow"), None]
    fake = FakeBybit(LATER_MS, faults=list(itertools.islice(itertools.cycle(kinds), 21)))
    assert fetch(fake, num_bars=5_500, attempts=12).equals(fetch(FakeBybit(LATER_MS), num_bars=5_500))


@pytest.mark.parametrize("base_url", ["", "api.bybit.com", "ftp://api.bybit.com", "http://", "http://[::1"])
def test_base_url_must_be_a_web_address(base_url):
    with pytest.raises(ConfigError, match="base_url must be"):
        BybitClient(base_url)


@pytest.mark.parametrize("wrong", [{"requests_per_5s": 601}, {"ban_s": 60}, {"attempts": 0}])
def test_settings_keep_within_what_is_published(wrong):
    with pytest.raises(ValueError, match="Input should be"):
        BybitSettings(**wrong)
