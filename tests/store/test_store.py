import tempfile
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings

from polyscale.market.bars import BAR_SCHEMA, FUNDING_SCHEMA, Market
from polyscale.market.errors import ConfigError, DataError, NotStoredError
from polyscale.market.timeframe import Timeframe
from polyscale.store.ledger import gaps
from polyscale.store.store import DataVersion, Store, WriteResult
from tests.store.series import BTC, ETH, FIRST, M1, M5, drawn_bars, make_bars, make_funding, minute

REAL_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_bars_come_back_as_they_were_written(store):
    bars = make_bars(range(1, 11))
    assert store.write_bars(BTC, M1, bars) == WriteResult(inserted=10, updated=0, unchanged=0)
    assert store.read_bars(BTC, M1).equals(bars)
    assert store.read_bars(BTC, M1).schema == BAR_SCHEMA


@settings(max_examples=8, deadline=None)
@given(first=drawn_bars(), second=drawn_bars())
def test_store_holds_the_last_word_on_every_minute(first, second):
    known = first.select("close_time", before="turnover")
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.write_bars(BTC, M1, first)
        result = store.write_bars(BTC, M1, second)
        read = store.read_bars(BTC, M1)
        assert store.write_bars(BTC, M1, read) == WriteResult(0, 0, read.height)
    old = first.join(second, on="close_time", how="anti")
    numbers = pl.exclude("turnover")
    assert read.select(numbers).equals(pl.concat([old, second]).sort("close_time").select(numbers))
    assert result.inserted == second.join(known, on="close_time", how="anti").height
    assert result.inserted + result.updated + result.unchanged == second.height


def test_writing_the_same_again_makes_no_version(store):
    bars = make_bars(range(1, 11))
    store.write_bars(BTC, M1, bars)
    before = store.version()
    assert store.write_bars(BTC, M1, bars) == WriteResult(0, 0, 10)
    assert store.version() == before


def test_overlapping_write_inserts_the_new_bars_only(store):
    store.write_bars(BTC, M1, make_bars(range(1, 11)))
    assert store.write_bars(BTC, M1, make_bars(range(6, 16))) == WriteResult(5, 0, 5)
    assert store.read_bars(BTC, M1).equals(make_bars(range(1, 16)))


def test_older_bars_written_later_are_read_in_order(store):
    store.write_bars(BTC, M1, make_bars(range(11, 21)))
    store.write_bars(BTC, M1, make_bars(range(1, 11)))
    store.write_bars(BTC, M1, make_bars([25]))
    assert store.read_bars(BTC, M1).equals(make_bars([*range(1, 21), 25]))


def test_revision_is_updated_and_counted(store):
    store.write_bars(BTC, M1, make_bars(range(1, 11)))
    assert store.write_bars(BTC, M1, make_bars([4, 5], price=101.0)) == WriteResult(0, 2, 0)
    closes = store.read_bars(BTC, M1)["close"]
    assert closes.to_list() == [100.0] * 3 + [101.0] * 2 + [100.0] * 5


def test_source_without_turnover_erases_none(store):
    store.write_bars(BTC, M1, make_bars([1, 2]))
    assert store.write_bars(BTC, M1, make_bars([1, 2], turnover=None)) == WriteResult(0, 0, 2)
    assert store.read_bars(BTC, M1)["turnover"].to_list() == [50.0, 50.0]


def test_turnover_that_becomes_known_is_a_revision(store):
    store.write_bars(BTC, M1, make_bars([1, 2], turnover=None))
    assert store.write_bars(BTC, M1, make_bars([1, 2])) == WriteResult(0, 2, 0)
    assert store.read_bars(BTC, M1)["turnover"].to_list() == [50.0, 50.0]


def test_bars_of_an_older_version_stay_readable(store):
    store.write_bars(BTC, M1, make_bars([1, 2]))
    version = store.version().bars
    store.write_bars(BTC, M1, make_bars([2, 3], price=101.0))
    assert store.read_bars(BTC, M1, version=version).equals(make_bars([1, 2]))
    assert store.read_bars(BTC, M1).height == 3


def test_start_and_end_give_the_bars_between_them(store):
    store.write_bars(BTC, M1, make_bars(range(1, 11)))
    read = store.read_bars(BTC, M1, start=minute(3), end=minute(7))
    assert read["close_time"].to_list() == [minute(m) for m in (4, 5, 6, 7)]


def test_markets_and_timeframes_are_kept_apart(store):
    store.write_bars(BTC, M1, make_bars([5]))
    store.write_bars(BTC, M5, make_bars([5], price=200.0))
    store.write_bars(ETH, M1, make_bars([5], price=300.0))
    series = [(BTC, M1), (BTC, M5), (ETH, M1)]
    assert [store.read_bars(*one)["close"].item() for one in series] == [100.0, 200.0, 300.0]


def test_several_series_are_written_in_one_commit(store):
    store.write_bars(BTC, M1, make_bars([1, 2, 3]))
    written = {
        (BTC, M1): make_bars([2, 3, 4], price=101.0),
        (ETH, M1): make_bars([4]),
        (BTC, M5): make_bars([]),
    }
    results = store.write_series(written)
    assert results == {
        (BTC, M1): WriteResult(1, 2, 0),
        (ETH, M1): WriteResult(1, 0, 0),
        (BTC, M5): WriteResult(0, 0, 0),
    }
    assert store.version().bars == 2
    assert store.read_bars(BTC, M1)["close"].to_list() == [100.0, 101.0, 101.0, 101.0]
    assert store.read_bars(ETH, M1).equals(make_bars([4]))
    assert store.write_series(written)[ETH, M1] == WriteResult(0, 0, 1)
    assert store.version().bars == 2


def test_funding_is_kept_beside_the_bars(store):
    funding = make_funding([0, 8, 16])
    assert store.write_funding(BTC, funding) == WriteResult(3, 0, 0)
    assert store.write_funding(BTC, funding) == WriteResult(0, 0, 3)
    assert store.write_funding(BTC, make_funding([16, 24], rate=0.0002)) == WriteResult(1, 1, 0)
    read = store.read_funding(BTC, start=FIRST, end=minute(16 * 60))
    assert read.schema == FUNDING_SCHEMA
    assert read["funding_rate"].to_list() == [0.0001, 0.0002]
    assert store.read_funding(BTC, version=1).equals(funding)


def test_version_names_each_table_and_none_before_the_first_write(store):
    assert store.version() == DataVersion(None, None)
    store.write_bars(BTC, M1, make_bars([1]))
    assert store.version() == DataVersion(1, None)
    store.write_funding(BTC, make_funding([8]))
    assert store.version() == DataVersion(1, 1)


def test_no_rows_make_no_table(store):
    assert store.write_bars(BTC, M1, make_bars([])) == WriteResult(0, 0, 0)
    assert store.version() == DataVersion(None, None)


def test_contents_list_every_series_with_its_gaps(store):
    assert store.contents().is_empty()
    store.write_bars(ETH, M1, make_bars([1, 2]))
    store.write_bars(BTC, M5, make_bars([5, 10, 25, 30, 40]))
    store.write_bars(BTC, M1, make_bars([7]))
    contents = store.contents()
    assert contents["symbol"].to_list() == ["BTCUSDT", "BTCUSDT", "ETHUSDT"]
    assert contents["timeframe"].to_list() == ["1m", "5m", "1m"]
    assert contents.row(1)[4:] == (5, minute(5), minute(40), 3)
    assert store.series() == [(BTC, M1), (BTC, M5), (ETH, M1)]


def test_unknown_market_is_told_what_there_is(store):
    with pytest.raises(NotStoredError, match=r"got nothing .* bring it in with `polyscale fetch`"):
        store.read_bars(BTC, M1)
    store.write_bars(BTC, M5, make_bars([5]))
    with pytest.raises(NotStoredError, match="bars of bybit/linear/BTCUSDT 1m, got bybit/linear/BTCUSDT 5m"):
        store.read_bars(BTC, M1)
    with pytest.raises(NotStoredError, match="funding of bybit/linear/BTCUSDT, got nothing"):
        store.read_funding(BTC)


def test_span_without_bars_is_told_the_stored_span(store):
    store.write_bars(BTC, M1, make_bars([1, 2]))
    with pytest.raises(NotStoredError, match=r"from 2024-01-01 00:01:00\+00:00 to 2024-01-01 00:02:00"):
        store.read_bars(BTC, M1, start=minute(5))


@pytest.mark.parametrize("version", [-1, 2])
def test_version_that_does_not_exist_is_told_the_versions(store, version):
    store.write_bars(BTC, M1, make_bars([1, 2]))
    with pytest.raises(NotStoredError, match=f"has the versions 0 to 1, got {version}"):
        store.read_bars(BTC, M1, version=version)


def test_market_written_after_a_version_is_not_stored_at_it(store):
    store.write_bars(BTC, M1, make_bars([1]))
    store.write_bars(ETH, M1, make_bars([1]))
    with pytest.raises(NotStoredError, match="ETHUSDT 1m at version 1, got bybit/linear/BTCUSDT 1m"):
        store.read_bars(ETH, M1, version=1)


def test_broken_bars_do_not_pass_the_door(store):
    with pytest.raises(DataError, match="close_time must rise"):
        store.write_bars(BTC, M1, make_bars([2, 1]))
    with pytest.raises(DataError, match="grid of 5m"):
        store.write_bars(BTC, M5, make_bars([1]))
    assert store.version() == DataVersion(None, None)


@pytest.mark.parametrize("symbol", ["BTC/USDT", "btcusdt", "", "..", "A'B", "BTC USDT", "БТК", "A\n"])
def test_symbol_that_is_no_folder_name_is_refused(store, symbol):
    with pytest.raises(ConfigError, match="symbol must match"):
        store.write_bars(Market("bybit", "linear", symbol), M1, make_bars([1]))


@pytest.mark.parametrize("symbol", ["BTC-26DEC25-100000-C", "1000PEPE.P", "BTC_USDT", "1", "1E5", "NULL"])
def test_odd_but_allowed_symbols_are_kept_apart(store, symbol):
    market = Market("bybit", "linear", symbol)
    store.write_bars(market, M1, make_bars([1], price=7.0))
    store.write_bars(BTC, M1, make_bars([1]))
    assert store.read_bars(market, M1)["close"].item() == 7.0
    assert symbol in store.contents()["symbol"].to_list()


@pytest.mark.parametrize("name", ["my store", "данные", "a+b=c&d", "st*r?#{x}'"])
def test_store_lies_in_a_folder_of_any_language(tmp_path, name):
    store = Store(tmp_path / name)
    store.write_bars(BTC, M1, make_bars([1, 2]))
    assert store.write_bars(BTC, M1, make_bars([1, 2, 3])) == WriteResult(1, 0, 2)
    assert store.read_bars(BTC, M1).height == 3


def test_folder_that_delta_cannot_address_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="the store's path must be free of"):
        Store(tmp_path / "100%")


def test_limit_without_a_zone_is_refused(store):
    with pytest.raises(ConfigError, match="end must have a time zone"):
        store.read_bars(BTC, M1, end=datetime(2024, 1, 1))


@pytest.mark.real_data
def test_real_bars_with_524_gaps_are_stored_and_counted(store):
    if not REAL_DATA.exists():
        pytest.skip("the folder of real candles is absent")
    raw = pl.read_parquet(REAL_DATA / "BYBIT-PERP_ADAUSDT_1m_chunked.parquet")
    bars = raw.with_columns(close_time=pl.col("open_time").dt.offset_by("1m")).select(list(BAR_SCHEMA))
    ada = Market("bybit", "linear", "ADAUSDT")
    assert store.write_bars(ada, M1, bars).inserted == bars.height
    assert store.read_bars(ada, M1).equals(bars)
    found = gaps(store, ada, Timeframe(1))
    assert (found.height, set(found["kind"])) == (524, {"not fetched"})
    assert store.contents()["missing_bars"].item() == found["missing_bars"].sum()
