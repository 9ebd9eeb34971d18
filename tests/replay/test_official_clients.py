"""The exchange's own clients and our one read the same candles from a played exchange, in real time."""

import asyncio
import queue

import pytest

from polyscale.exchange.bybit_client import BybitClient
from polyscale.market.timeframe import Timeframe
from tests.replay.market import (
    BTC,
    DAY_MS,
    FIRST_MS,
    H1,
    HOUR_MS,
    INVERSE,
    M1,
    MINUTE_MS,
    SPOT,
    bars_of,
    exchange_of,
    rates_of,
    wire_row,
)
from tests.replay.running import running

FIVE_HOURS_MS = FIRST_MS + 5 * HOUR_MS


@pytest.fixture(scope="module")
def server():
    held = {(market, M1): bars_of() for market in (BTC, SPOT, INVERSE)}
    exchange = exchange_of(FIRST_MS + DAY_MS, held, {BTC: rates_of()}, speed=60.0, push_every_s=30)
    with running(exchange) as server:
        yield server


@pytest.fixture
def pybit(server):
    from pybit.unified_trading import HTTP

    session = HTTP()
    session.endpoint = server.url
    yield session
    session.client.close()


@pytest.fixture
def ccxt(server):
    import ccxt

    exchange = ccxt.bybit()
    exchange.urls["api"] = dict.fromkeys(exchange.urls["api"], server.url)
    yield exchange
    exchange.session.close()


def ours(server, market, timeframe):
    """Rows as our client reads them."""

    async def ask():
        async with BybitClient(server.url) as client:
            return await client.klines(market, timeframe, FIRST_MS, FIVE_HOURS_MS)

    return [wire_row(bar, timeframe) for bar in asyncio.run(ask()).iter_rows(named=True)]


@pytest.mark.parametrize("timeframe", [M1, Timeframe(15), H1], ids=str)
def test_pybit_and_our_client_read_the_same_candles(server, pybit, timeframe):
    answer = pybit.get_kline(
        category="linear",
        symbol="BTCUSDT",
        interval=timeframe.minutes,
        start=FIRST_MS,
        end=FIVE_HOURS_MS - timeframe.ms,
        limit=1_000,
    )
    theirs = [[float(text) for text in row] for row in answer["result"]["list"][::-1]]
    assert theirs == ours(server, BTC, timeframe)
    assert len(theirs) == 5 * HOUR_MS // timeframe.ms


def test_pybit_reads_time_instruments_funding_and_mark_prices(server, pybit):
    assert abs(pybit.get_server_time()["time"] - server.exchange.now_ms) < HOUR_MS
    (row,) = pybit.get_instruments_info(category="linear", symbol="BTCUSDT")["result"]["list"]
    assert row["launchTime"] == str(FIRST_MS)
    rates = pybit.get_funding_rate_history(category="linear", symbol="BTCUSDT", limit=2)["result"]["list"]
    assert len(rates) == 2
    marks = pybit.get_mark_price_kline(category="linear", symbol="BTCUSDT", interval=60, limit=3)
    assert [len(row) for row in marks["result"]["list"]] == [5, 5, 5]


def test_pybit_tells_a_wrong_symbol(pybit):
    from pybit.exceptions import InvalidRequestError

    with pytest.raises(InvalidRequestError, match="10001"):
        pybit.get_kline(category="linear", symbol="NOPE", interval=1)


def test_pybit_hears_candles_close(server, monkeypatch):
    """Its address can be set in no other way: the module's pattern of addresses is replaced."""
    from pybit import unified_trading

    monkeypatch.setattr(unified_trading, "PUBLIC_WSS", server.ws_url + "/v5/public/{CHANNEL_TYPE}")
    stream = unified_trading.WebSocket(testnet=False, channel_type="linear")
    try:
        pushes = queue.Queue()
        stream.kline_stream(interval=1, symbol="BTCUSDT", callback=pushes.put)
        closed = []
        while len(closed) < 2:
            (candle,) = pushes.get(timeout=20)["data"]
            closed += [candle] if candle["confirm"] else []
    finally:
        stream.exit()
    first, second = closed
    assert second["start"] == first["start"] + MINUTE_MS
    bar = wire_row(bars_of().row((first["start"] - FIRST_MS) // MINUTE_MS, named=True))
    assert [float(first[name]) for name in ("open", "high", "low", "close", "volume")] == bar[1:6]


@pytest.mark.parametrize(
    ("symbol", "market"), [("BTC/USDT:USDT", BTC), ("BTC/USDT", SPOT), ("BTC/USD:BTC", INVERSE)]
)
def test_ccxt_and_our_client_read_the_same_candles(server, ccxt, symbol, market):
    theirs = ccxt.fetch_ohlcv(symbol, "1m", since=FIRST_MS, limit=300)
    wanted = ours(server, market, M1)
    assert theirs == [row[:6] for row in wanted]


def test_ccxt_loads_markets_and_funding(ccxt):
    markets = ccxt.load_markets()
    assert set(markets) == {"BTC/USDT:USDT", "BTC/USDT", "BTC/USD:BTC"}
    assert markets["BTC/USDT:USDT"]["precision"] == {"amount": 0.001, "price": 0.01}
    rates = ccxt.fetch_funding_rate_history("BTC/USDT:USDT", since=FIRST_MS)[:4]
    assert [rate["timestamp"] for rate in rates] == [FIRST_MS + idx * 8 * HOUR_MS for idx in range(4)]


def test_ccxt_pages_through_a_day(ccxt):
    pages, since = [], FIRST_MS
    while since < FIRST_MS + DAY_MS:
        page = ccxt.fetch_ohlcv("BTC/USDT:USDT", "1m", since=since, limit=500)
        pages += page
        since = page[-1][0] + MINUTE_MS
    starts = [row[0] for row in pages if row[0] < FIRST_MS + DAY_MS]
    assert starts == list(range(FIRST_MS, FIRST_MS + DAY_MS, MINUTE_MS))
