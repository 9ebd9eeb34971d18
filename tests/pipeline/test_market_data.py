import asyncio
from datetime import UTC, datetime

import pytest

import polyscale
from polyscale.market.errors import ConfigError, NotStoredError
from polyscale.market.order_rules import OrderRules
from polyscale.store.store import Store
from tests.replay.market import BTC, DAY_MS, FIRST_MS, bars_of, exchange_of
from tests.replay.running import running


@pytest.fixture(scope="module")
def server():
    with running(exchange_of(FIRST_MS + 2 * DAY_MS + 5_000, limited=False)) as server:
        yield server


def test_fetch_gives_the_bars_of_the_span(tmp_path, server):
    where = {"url": server.url, "venue": "bybit", "store": tmp_path}
    bars = polyscale.fetch("btcusdt", "1m", since="2025-01-02", **where)
    assert bars.equals(bars_of().tail(1_440))
    until = datetime(2025, 1, 1, 1, tzinfo=UTC)
    assert polyscale.fetch("BTCUSDT", "1m", since="2025-01-01", until=until, **where).equals(
        bars_of().head(60)
    )
    assert server.num_requests["/v5/market/kline"] < 24
    assert Store(tmp_path).read_order_rules(BTC) == OrderRules(0.001, 0.001, 5.0)


def test_fetch_works_where_a_loop_is_running_already(tmp_path, server):
    async def notebook():
        return polyscale.fetch("BTCUSDT", "1h", days=1, url=server.url, venue="bybit", store=tmp_path)

    assert asyncio.run(notebook()).height == 24


def test_span_without_bars_and_address_without_a_name_are_told(tmp_path, server):
    where = {"url": server.url, "store": tmp_path}
    with pytest.raises(NotStoredError, match="BTCUSDT 1m"):
        polyscale.fetch("BTCUSDT", "1m", since="2024-12-01", until="2024-12-02", venue="bybit", **where)
    with pytest.raises(ConfigError, match="give the venue"):
        polyscale.fetch("BTCUSDT", "1m", **where)
