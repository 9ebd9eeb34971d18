import polars as pl
import pytest

from polyscale.exchange.bybit_client import BybitClient
from polyscale.exchange.bybit_http import BybitSettings
from polyscale.ingest.mend import mend
from polyscale.market.instant import time_of
from polyscale.market.order_rules import OrderRules
from polyscale.replay.server import ReplayServer
from polyscale.store.layout import ABSENT
from polyscale.store.ledger import write_absent
from polyscale.store.store import DataVersion, Store
from polyscale.store.upkeep import pin, verify
from tests.leap import run
from tests.replay.market import BTC, DAY_MS, ETH, FIRST_MS, M1, bars_of, exchange_of, rates_of


@pytest.fixture
def damaged(tmp_path):
    """Two files of a day, one of them cut short."""
    store, bars = Store(tmp_path), bars_of(2)
    store.write_bars(BTC, M1, bars.head(1_440))
    first = next(tmp_path.rglob("*.parquet"))
    store.write_bars(BTC, M1, bars.tail(1_440))
    first.write_bytes(first.read_bytes()[:-100])
    return store


def mended(store, url=None, funding=None, venue="bybit", now_ms=FIRST_MS + 2 * DAY_MS + 5_000):
    """What `mend` says of every damage, by table and series."""

    async def ask():
        async with ReplayServer(exchange_of(now_ms, funding=funding)) as server:
            settings = BybitSettings(attempts=2)
            async with BybitClient(url or server.url, settings, venue=venue) as client:
                return await mend(client, store, verify(store))

    outcome = run(ask())
    return {(damage.table, damage.series.split("/")[-1]): said for damage, said in outcome.items()}


def cut(root, table):
    path = next((root / table).rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-100])


def test_damaged_bars_come_again_and_the_sound_ones_stay(damaged, tmp_path):
    assert mended(damaged) == {("bars", "BTCUSDT 1m"): (0, "")}
    assert damaged.read_bars(BTC, M1).equals(bars_of(2))
    assert verify(damaged) == []
    assert len(list((tmp_path / "damaged").rglob("*.parquet"))) == 1


def test_nothing_is_moved_while_the_exchange_does_not_answer(damaged, tmp_path):
    [(num_missing, why)] = mended(damaged, url="http://127.0.0.1:9").values()
    assert (num_missing, why.startswith("left where it is")) == (1_440, True)
    assert not (tmp_path / "damaged").exists()


def test_market_that_the_exchange_does_not_know_any_more_stops_no_other(damaged, tmp_path):
    damaged.write_bars(ETH, M1, bars_of(2))
    path = next(path for path in (tmp_path / "bars").rglob("*.parquet") if "ETHUSDT" in str(path))
    path.write_bytes(path.read_bytes()[:-100])
    outcome = mended(damaged)
    assert outcome["bars", "BTCUSDT 1m"] == (0, "")
    assert outcome["bars", "ETHUSDT 1m"][0] == 2_880
    assert path.exists()
    assert len(verify(damaged)) == 1


def test_bars_of_another_exchange_mend_nothing(damaged, tmp_path):
    [(num_missing, why)] = mended(damaged, venue="elsewhere").values()
    assert (num_missing, why) == (1_440, "left where it is: elsewhere has no bars of bybit")
    assert not (tmp_path / "damaged").exists()


def test_what_the_exchange_has_lost_since_is_counted(tmp_path):
    store = Store(tmp_path)
    store.write_bars(BTC, M1, bars_of(2))
    cut(tmp_path, "bars")
    [(num_missing, why)] = mended(store, now_ms=FIRST_MS + DAY_MS + 5_000).values()
    assert (num_missing, why) == (1_440, "1440 rows could not be had again")
    assert store.read_bars(BTC, M1).equals(bars_of(2).head(1_440))


def test_lawful_hole_in_a_damaged_file_is_not_counted(tmp_path):
    store = Store(tmp_path)
    store.write_bars(BTC, M1, with_holes(bars_of(2)))
    cut(tmp_path, "bars")
    held = {(BTC, M1): with_holes(bars_of(2))}

    async def ask():
        async with (
            ReplayServer(exchange_of(FIRST_MS + 2 * DAY_MS + 5_000, bars=held)) as server,
            BybitClient(server.url) as client,
        ):
            return await mend(client, store, verify(store))

    assert list(run(ask()).values()) == [(0, "")]


def with_holes(bars):
    return bars.filter(pl.int_range(pl.len()) % 100 > 0)


def test_damaged_funding_comes_again(tmp_path):
    store, rates = Store(tmp_path), rates_of(5)
    store.write_funding(BTC, rates)
    cut(tmp_path, "funding")
    assert mended(store, funding={BTC: rates}) == {("funding", "BTCUSDT"): (0, "")}
    assert store.read_funding(BTC).equals(rates)


def test_damaged_order_rules_are_set_aside_and_the_next_fetch_is_named(tmp_path):
    store = Store(tmp_path)
    store.write_order_rules(BTC, OrderRules(0.001), time_of(FIRST_MS))
    cut(tmp_path, "order_rules")
    [(num_missing, why)] = mended(store).values()
    assert (num_missing, "polyscale fetch brings what holds now" in why) == (1, True)
    assert store.read_order_rules(BTC) is None
    assert verify(store) == []


def test_damaged_pins_are_left_and_told(tmp_path):
    store = Store(tmp_path)
    pin(store, "run-1", DataVersion(1, None))
    cut(tmp_path, "pins")
    [(num_missing, why)] = mended(store).values()
    assert (num_missing, "pins cannot be made again" in why) == (1, True)
    assert not (tmp_path / "damaged").exists()


def test_damaged_bars_come_again_though_they_were_once_noted_as_absent(damaged):
    first, last = (bars_of(2)["close_time"][at] for at in (0, 1_439))
    note = (first, last, last, "absent")
    write_absent(damaged, BTC, M1, pl.DataFrame([note], ABSENT.values, orient="row"))
    mended(damaged)
    assert damaged.read_bars(BTC, M1).equals(bars_of(2))
