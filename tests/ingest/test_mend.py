import pytest

from polyscale.exchange.bybit_client import BybitClient
from polyscale.exchange.bybit_errors import BusyError
from polyscale.exchange.bybit_http import BybitSettings
from polyscale.ingest.mend import mend
from polyscale.replay.server import ReplayServer
from polyscale.store.store import Store
from polyscale.store.upkeep import verify
from tests.leap import run
from tests.replay.market import BTC, DAY_MS, FIRST_MS, M1, bars_of, exchange_of


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
            ReplayServer(exchange_of(FIRST_MS + 2 * DAY_MS)) as server,
            BybitClient(server.url) as client,
        ):
            damages = verify(damaged, BTC, M1)
            return await mend(client, damaged, BTC, M1, damages), server.num_requests["/v5/market/kline"]

    [report], num_requests = run(ask())
    assert (report.inserted, report.stored, report.gaps.height) == (1_440, 1_440, 0)
    assert num_requests < 8
    assert damaged.read_bars(BTC, M1).equals(bars_of(2))
    assert verify(damaged, BTC, M1) == []
    assert len(list((tmp_path / "damaged").rglob("*.parquet"))) == 1


def test_nothing_is_moved_while_the_exchange_does_not_answer(damaged, tmp_path):
    async def ask():
        async with BybitClient("http://127.0.0.1:9", BybitSettings(attempts=2)) as client:
            await mend(client, damaged, BTC, M1, verify(damaged, BTC, M1))

    with pytest.raises(BusyError):
        run(ask())
    assert not (tmp_path / "damaged").exists()
