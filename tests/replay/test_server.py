"""The server over real sockets, on made-up time."""

import asyncio
import json
from contextlib import aclosing

import httpx2
import numpy as np
import pytest

from polyscale.exchange.bybit_client import BybitClient
from polyscale.exchange.bybit_http import BybitSettings
from polyscale.exchange.errors import BadRequestError, BannedError
from polyscale.exchange.source import Window
from polyscale.market.errors import ConfigError
from polyscale.market.order_rules import OrderRules
from polyscale.replay.server import ReplayServer
from polyscale.scales.resample import resample
from tests.leap import run
from tests.replay.market import (
    BTC,
    D1,
    DAY_MS,
    ETH,
    FIRST_MS,
    H1,
    HOUR_MS,
    INVERSE,
    M1,
    M5,
    MINUTE_MS,
    SPOT,
    bars_of,
    exchange_of,
    rates_of,
)

LAST_MS = FIRST_MS + 2 * DAY_MS


def visit(exchange, story):
    """Let a story happen with a server of the exchange."""

    async def happen():
        async with ReplayServer(exchange) as server:
            return await story(server)

    return run(happen())


def fetch(exchange, ask, **settings):
    """What our client gets."""

    async def story(server):
        async with BybitClient(server.url, BybitSettings(**settings)) as client:
            return await ask(client)

    return visit(exchange, story)


@pytest.mark.parametrize("market", [BTC, SPOT, INVERSE], ids=str)
def test_our_client_reads_the_bars_bit_for_bit(market):
    exchange = exchange_of(LAST_MS, {(market, M1): bars_of()})
    got = fetch(exchange, lambda client: client.klines(market, M1, FIRST_MS, LAST_MS))
    assert got.equals(bars_of())


def test_our_client_reads_only_what_has_closed():
    exchange = exchange_of(LAST_MS - MINUTE_MS - 500)
    got = fetch(exchange, lambda client: client.klines(BTC, M1, FIRST_MS, LAST_MS))
    assert got.equals(bars_of()[:-2])


@pytest.mark.parametrize("timeframe", [M5, H1, D1], ids=str)
def test_our_client_reads_coarser_bars_as_the_pipeline_makes_them(timeframe):
    got = fetch(exchange_of(LAST_MS), lambda client: client.klines(BTC, timeframe, FIRST_MS, LAST_MS))
    wanted = resample(bars_of(), M1, timeframe)
    for name in got.columns:
        values = wanted[name].to_list()
        assert got[name].to_list() == (values if name == "close_time" else pytest.approx(values, rel=1e-12))


def test_our_client_reads_funding_and_instruments():
    exchange = exchange_of(
        LAST_MS, {(BTC, M1): bars_of(), (ETH, M5): bars_of(timeframe=M5)}, {BTC: rates_of()}
    )

    async def ask(client):
        rates = await client.funding(BTC, FIRST_MS, LAST_MS + 1)
        return rates, await client.instruments("linear"), await client.first_day_ms(BTC, 0, LAST_MS)

    rates, instruments, first_day_ms = fetch(exchange, ask)
    assert rates.equals(rates_of())
    assert [(row.symbol, row.tick_size, row.launch_ms) for row in instruments] == [
        ("BTCUSDT", 0.01, FIRST_MS),
        ("ETHUSDT", 0.01, FIRST_MS),
    ]
    assert first_day_ms == FIRST_MS


@pytest.mark.parametrize(
    ("market", "rules"),
    [(BTC, OrderRules(0.001, 0.001, 5.0)), (SPOT, OrderRules(0.001, 0.001, 1.0)), (INVERSE, None)],
    ids=str,
)
def test_our_client_reads_the_order_rules_of_one_symbol(market, rules):
    held = {(one, M1): bars_of() for one in (BTC, ETH, SPOT, INVERSE)}
    found = fetch(exchange_of(LAST_MS, held), lambda client: client.instrument(market))
    assert (found.symbol, found.rules) == (market.symbol, rules)


def test_a_bar_that_is_absent_is_absent():
    bars = bars_of()[[0, 1, 5, 6]]
    got = fetch(
        exchange_of(LAST_MS, {(BTC, M1): bars}), lambda client: client.klines(BTC, M1, FIRST_MS, LAST_MS)
    )
    assert got.equals(bars)


def test_instrument_that_is_not_listed_is_refused():
    with pytest.raises(BadRequestError, match=r"ETHUSDT.*10001"):
        fetch(exchange_of(LAST_MS), lambda client: client.instrument(ETH))


def test_unknown_symbols_are_refused():
    with pytest.raises(BadRequestError, match=r"10001.*symbols"):
        fetch(exchange_of(LAST_MS), lambda client: client.klines(ETH, M1, FIRST_MS, LAST_MS))


def test_time_passes_by_the_loop_at_its_speed():
    exchange = exchange_of(FIRST_MS, speed=60.0)

    async def story(server):
        await asyncio.sleep(60)
        async with BybitClient(server.url) as client:
            return await client.server_time_ms()

    assert visit(exchange, story) == pytest.approx(FIRST_MS + HOUR_MS, abs=100)


def test_time_goes_on_when_another_server_takes_over():
    exchange = exchange_of(FIRST_MS)

    async def story():
        async with ReplayServer(exchange):
            await asyncio.sleep(10)
        await asyncio.sleep(10)
        async with ReplayServer(exchange):
            return exchange.now_ms

    assert run(story()) == pytest.approx(FIRST_MS + 20_000, abs=100)


def test_headers_tell_the_limit_and_bodies_are_json():
    async def story(server):
        async with httpx2.AsyncClient() as client:
            return [await client.get(f"{server.url}/v5/market/time") for _ in range(2)]

    answers = visit(exchange_of(FIRST_MS), story)
    assert [answer.headers["X-Bapi-Limit-Status"] for answer in answers] == ["599", "598"]
    assert answers[0].headers["X-Bapi-Limit"] == "600"
    assert int(answers[0].headers["X-Bapi-Limit-Reset-Timestamp"]) == answers[0].json()["time"]
    assert answers[0].headers["Content-Type"].startswith("application/json")


def test_other_paths_and_methods_are_not_found():
    async def story(server):
        async with httpx2.AsyncClient() as client:
            return [
                (await client.get(f"{server.url}/v5/position/list")).status_code,
                (await client.post(f"{server.url}/v5/market/kline")).status_code,
                (await client.get(f"{server.url}/v5/public/linear")).status_code,
                server.num_requests["/v5/position/list"],
            ]

    assert visit(exchange_of(FIRST_MS), story) == [404, 404, 400, 1]


async def ask_often(server, num):
    async with httpx2.AsyncClient() as client:
        return [(await client.get(f"{server.url}/v5/market/time")).status_code for _ in range(num)]


def test_asking_too_often_is_a_ban_of_ten_minutes():
    async def story(server):
        codes = await ask_often(server, 602)
        await asyncio.sleep(590)
        codes += await ask_often(server, 1)
        await asyncio.sleep(11)
        return codes + await ask_often(server, 1)

    assert visit(exchange_of(FIRST_MS, speed=1_000.0), story) == [200] * 600 + [403] * 3 + [200]


def test_the_limit_can_be_switched_off():
    assert visit(exchange_of(FIRST_MS, limited=False), lambda server: ask_often(server, 700)) == [200] * 700


def test_our_client_tells_a_ban():
    async def story(server):
        await ask_often(server, 600)
        async with BybitClient(server.url) as client:
            await client.server_time_ms()

    with pytest.raises(BannedError, match="access too frequent"):
        visit(exchange_of(FIRST_MS), story)


@pytest.mark.parametrize("concurrency", [1, 500])
def test_our_client_never_asks_above_the_limit(concurrency):
    """Measured at the server, over any 5 s of 1,300 requests; the whole limit is used nevertheless."""
    windows = [Window(FIRST_MS + idx * MINUTE_MS, FIRST_MS + idx * MINUTE_MS) for idx in range(1_300)]

    async def story(server):
        settings = BybitSettings(requests_per_5s=600, concurrency=concurrency)
        async with (
            BybitClient(server.url, settings) as client,
            aclosing(client.pages(BTC, M1, windows)) as pages,
        ):
            assert [page.bars.height async for page in pages] == [1] * 1_300
        return np.array(server.request_times_s)

    at_s = visit(exchange_of(LAST_MS), story)
    in_5_s = np.searchsorted(at_s, at_s, side="right") - np.searchsorted(at_s, at_s - 5.0, side="left")
    assert 540 <= in_5_s.max() <= 600


def test_a_port_that_is_taken_is_told_in_one_line():
    async def story(server):
        port = int(server.url.rpartition(":")[2])
        async with ReplayServer(exchange_of(FIRST_MS), port=port):
            pass

    with pytest.raises(ConfigError, match="must have an address that is free"):
        visit(exchange_of(FIRST_MS), story)


def test_a_page_of_the_wire_is_what_the_exchange_writes():
    async def story(server):
        async with httpx2.AsyncClient() as client:
            asked = {"symbol": "BTCUSDT", "interval": "60", "limit": 2, "end": FIRST_MS}
            return (await client.get(f"{server.url}/v5/market/kline", params=asked)).text

    body = json.loads(visit(exchange_of(LAST_MS), story))
    assert list(body) == ["retCode", "retMsg", "result", "retExtInfo", "time"]
    assert (body["retMsg"], body["retExtInfo"]) == ("OK", {})
    assert set(body["result"]) == {"category", "symbol", "list"}
