from datetime import UTC, datetime

import polars as pl
import pytest

from polyscale.exchange.bybit_client import BybitClient
from polyscale.exchange.bybit_http import BybitSettings
from polyscale.exchange.errors import BusyError
from polyscale.ingest.mend import mend
from polyscale.replay.server import ReplayServer
from polyscale.store.layout import ABSENT
from polyscale.store.ledger import write_absent
from polyscale.store.store import Store
from polyscale.store.upkeep import verify
from tests.leap import run
from tests.replay.market import BTC, DAY_MS, FIRST_MS, M1, MINUTE_MS, bars_of, exchange_of


@pytest.fixture
def damaged(tmp_path):
    """Two files of a day, one of them cut short."""
    store, bars = Store(tmp_path), bars_of(2)
    store.write_bars(BTC, M1, bars.head(1_440))
    first = next(tmp_path.rglob("*.parquet"))
    store.write_bars(BTC, M1, bars.tail(1_440))
    first.write_bytes(first.read_bytes()[:-100])
    return store


def test_damaged_bars_come_again_and_the_sound_ones_stay(damaged, tmp_path):
    async def ask():
        async with (
            ReplayServer(exchange_of(FIRST_MS + 2 * DAY_MS + 5_000)) as server,
            BybitClient(server.url) as client,
        ):
            missing = await mend(client, damaged, verify(damaged))
            return missing, server.num_requests["/v5/market/kline"]

    missing, num_requests = run(ask())
    assert list(missing.values()) == [0]
    assert num_requests == 10  # two pages, and eight to find the first bar
    assert damaged.read_bars(BTC, M1).equals(bars_of(2))
    assert verify(damaged) == []
    assert len(list((tmp_path / "damaged").rglob("*.parquet"))) == 1


def test_nothing_is_moved_while_the_exchange_does_not_answer(damaged, tmp_path):
    async def ask():
        async with BybitClient("http://127.0.0.1:9", BybitSettings(attempts=2)) as client:
            await mend(client, damaged, verify(damaged))

    with pytest.raises(BusyError):
        run(ask())
    assert not (tmp_path / "damaged").exists()


def test_damaged_bars_come_again_though_they_were_once_noted_as_absent(damaged):
    first, last = (datetime.fromtimestamp((FIRST_MS + i * MINUTE_MS) / 1_000, UTC) for i in (10, 20))
    note = (first, last, last, "absent")
    write_absent(damaged, BTC, M1, pl.DataFrame([note], ABSENT.values, orient="row"))

    async def ask():
        async with (
            ReplayServer(exchange_of(FIRST_MS + 2 * DAY_MS + 5_000)) as server,
            BybitClient(server.url) as client,
        ):
            await mend(client, damaged, verify(damaged))

    run(ask())
    assert damaged.read_bars(BTC, M1).equals(bars_of(2))
