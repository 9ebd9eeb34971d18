"""Faults that are switched on, as a client meets them."""

import asyncio
import json

import httpx2
import pytest
from pydantic import ValidationError
from websockets.exceptions import ConnectionClosed

from polyscale.exchange.bybit_client import BybitClient
from polyscale.exchange.bybit_http import BybitSettings
from polyscale.exchange.bybit_wire import parse_klines
from polyscale.exchange.errors import BannedError, BusyError, GarbledError
from polyscale.exchange.source import Window
from polyscale.replay.candles import Candle
from polyscale.replay.faults import Faults, RequestFault, revised
from polyscale.replay.forming import Steps
from polyscale.replay.server import ReplayServer
from polyscale.replay.settings import FaultSettings
from tests.leap import run
from tests.replay.listening import candle_of, confirmed, listen
from tests.replay.market import BTC, DAY_MS, FIRST_MS, HOUR_MS, M1, MINUTE_MS, bars_of, exchange_of, rows

LAST_MS = FIRST_MS + 2 * DAY_MS
TOPIC = "kline.1.BTCUSDT"
ALWAYS = 1.0


def page(faults, **settings):
    """What our client makes of one page of ten bars, and how many requests it took."""

    async def happen():
        async with (
            ReplayServer(exchange_of(LAST_MS, faults=faults)) as server,
            BybitClient(server.url, BybitSettings(**settings)) as client,
        ):
            window = Window(FIRST_MS, FIRST_MS + 9 * MINUTE_MS)
            (got,) = [got async for got in client.pages(BTC, M1, [window])]
            return got, server.num_requests["/v5/market/kline"]

    return run(happen())


def pushed(faults, seconds=400, **settings):
    """What is pushed of one-minute candles, and the exchange afterwards."""

    async def story(server, listener):
        await listener.subscribe(TOPIC)
        return await listener.hear_for(seconds), server.exchange

    return listen(exchange_of(FIRST_MS, faults=faults, push_every_s=20, **settings), story)


def test_nothing_goes_wrong_unless_it_is_asked_for():
    faults = Faults(FaultSettings(), seed=1)
    assert {faults.of_request() for _ in range(99)} == {None}
    assert faults.of_close() == (False, 0, False, None)
    assert (faults.drop_after_s(), faults.stall_after_s(), faults.delay_s()) == (None, None, 0.0)
    assert faults.on_page(["a"]) == ["a"]


def test_the_same_seed_gives_the_same_faults():
    def drawn(seed, **more):
        faults = Faults(FaultSettings(busy_10006=0.3, drops_per_hour=3, **more), seed)
        return [(faults.of_request(), faults.drop_after_s()) for _ in range(50)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert drawn(1) == drawn(1, revised=0.5, late_confirm=0.5), "one fault does not move another"


@pytest.mark.parametrize("fault", list(RequestFault), ids=lambda fault: fault.value)
def test_chances_are_what_they_say(fault):
    faults = Faults(FaultSettings(**{fault.value: 0.25}), seed=1)
    drawn = [faults.of_request() for _ in range(4_000)]
    assert set(drawn) == {None, fault}
    assert drawn.count(fault) == pytest.approx(1_000, abs=120)


@pytest.mark.parametrize("wrong", [{"http_429": 1.5}, {"drops_per_hour": -1}, {"no_such": 1}], ids=str)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        FaultSettings(**wrong)


@pytest.mark.parametrize("name", ["http_429", "busy_10006"])
def test_a_busy_exchange_is_asked_again(name):
    got, num_requests = page({name: 0.9}, attempts=50)
    assert got.bars.equals(bars_of()[:10])
    assert num_requests > 1
    with pytest.raises(BusyError, match="gave up after 2 attempts"):
        page({name: ALWAYS}, attempts=2)


def test_an_answer_that_is_cut_off_is_no_json():
    with pytest.raises(GarbledError):
        page({"malformed": ALWAYS}, attempts=2)


def test_a_ban_is_final_for_its_address():
    with pytest.raises(BannedError):
        page({"http_403": ALWAYS})
    exchange = exchange_of(LAST_MS, faults={"http_403": 0.2})
    statuses = [exchange.answer("/v5/market/time", {}, "it", at_s / 100).status for at_s in range(100)]
    assert statuses == sorted(statuses)
    assert set(statuses) == {200, 403}
    assert exchange.answer("/v5/market/time", {}, "other", 0.0).status in (200, 403)


def test_a_broken_row_is_rejected_alone():
    got, num_requests = page({"broken_row": ALWAYS})
    assert got.bars.height == 9
    (rejected,) = got.rejected
    assert "low <= open, close <= high" in rejected.reason
    assert num_requests == 2


def test_doubled_rows_are_the_same_twice():
    exchange = exchange_of(LAST_MS, faults={"duplicated": ALWAYS})
    given = {"symbol": "BTCUSDT", "interval": "1", "limit": "10"}
    body = exchange.answer("/v5/market/kline", given, "it", 0.0).body
    assert 10 < len(json.loads(body)["result"]["list"]) <= 13
    assert len(parse_klines(body, "linear", "BTCUSDT", M1).rows) == 10


def test_a_slow_page_comes_late():
    async def happen():
        exchange = exchange_of(LAST_MS, faults={"slow_page": ALWAYS, "slow_page_s": 7.0})
        async with ReplayServer(exchange) as server, httpx2.AsyncClient(timeout=20) as client:
            await client.get(f"{server.url}/v5/market/time")
            return asyncio.get_running_loop().time()

    assert 7.0 <= run(happen()) < 8.0


def test_a_skewed_clock_agrees_with_itself():
    exchange = exchange_of(FIRST_MS, faults={"clock_skew_s": 3_600.0})
    assert exchange.now_ms == FIRST_MS + HOUR_MS
    assert rows(exchange, limit=1)[0][0] == str(FIRST_MS + HOUR_MS)


def test_late_closes_come_late_and_after_the_next_candle_began():
    pushes, _ = pushed({"late_confirm": ALWAYS, "late_confirm_s": 25.0})
    closed = confirmed(pushes)
    assert len(closed) == 6
    assert all(25_000 <= candle["timestamp"] - candle["end"] <= 25_100 for candle in closed)
    order = [(candle["start"], candle["confirm"]) for candle in map(candle_of, pushes)]
    assert order.index((FIRST_MS + MINUTE_MS, False)) < order.index((FIRST_MS, True))


def test_missing_closes_are_never_pushed_and_rest_has_them():
    pushes, exchange = pushed({"missing_confirm": ALWAYS})
    assert confirmed(pushes) == []
    assert len(pushes) > 10
    assert len(rows(exchange)) > 5


def test_closes_may_come_twice():
    pushes, _ = pushed({"duplicated": ALWAYS}, seconds=130)
    first, again, *_ = confirmed(pushes)
    assert first == again


def test_a_revised_candle_comes_again_with_other_numbers_and_rest_shows_them():
    pushes, exchange = pushed({"revised": ALWAYS, "revised_after_s": 30.0}, seconds=100)
    first, again = confirmed(pushes)
    assert first["start"] == again["start"]
    assert float(again["high"]) == round(float(first["high"]) + 0.01, 2)
    assert float(again["volume"]) > float(first["volume"])
    assert 30_000 <= again["timestamp"] - again["end"] <= 30_100
    row = rows(exchange, end=FIRST_MS, limit=1)[0]
    assert row[1:] == [again[name] for name in ("open", "high", "low", "close", "volume", "turnover")]


@pytest.mark.parametrize("steps", [Steps(2, 3), Steps(None, None)])
@pytest.mark.parametrize("price", [1e-6, 1.0, 1e9])
def test_a_revised_candle_is_sound_and_differs(steps, price):
    flat = Candle(0, price, price, price, price, 0.0, 0.0)
    assert revised(flat, steps).high > flat.high
    assert revised(flat, steps)[3:5] == flat[3:5]


def test_connections_are_cut_at_their_rate():
    async def story(_, listener):
        await listener.subscribe(TOPIC)
        with pytest.raises(ConnectionClosed) as ended:
            await listener.hear_for(500)
        return ended.value.rcvd

    exchange = exchange_of(FIRST_MS, faults={"drops_per_hour": 60}, push_every_s=20)
    assert listen(exchange, story) is None
    faults = Faults(FaultSettings(drops_per_hour=60), seed=1)
    waited_s = [faults.drop_after_s() for _ in range(2_000)]
    assert sum(waited_s) / len(waited_s) == pytest.approx(60, rel=0.1)


def test_connections_fall_silent_at_their_rate():
    async def story(server, listener):
        await listener.subscribe(TOPIC)
        heard = await listener.hear_for(550)  # 36 pushes, if it did not
        return len(heard), server.num_connections

    exchange = exchange_of(FIRST_MS, faults={"stalls_per_hour": 60}, push_every_s=20)
    num_heard, num_connections = listen(exchange, story)
    assert num_heard < 36
    assert num_connections == 1


def test_a_ban_holds_where_nothing_is_limited():
    exchange = exchange_of(LAST_MS, faults={"http_403": 0.2}, limited=False)
    statuses = [exchange.answer("/v5/market/time", {}, "it", at_s / 100).status for at_s in range(100)]
    assert statuses[-1] == 403
    assert statuses == sorted(statuses)
