import shutil
from pathlib import Path

import polars as pl
import pytest

from polyscale.market.errors import ConfigError, StoreError
from polyscale.store.layout import ABSENT, BARS, bars_partition
from polyscale.store.ledger import gaps, write_absent
from polyscale.store.store import DataVersion, Store
from polyscale.store.upkeep import Damage, compact, pin, pins, replace_file, vacuum, verify
from tests.store.series import BTC, ETH, M1, make_bars, make_funding, minute


@pytest.fixture
def store(tmp_path):
    """Five files of ten bars."""
    store = Store(tmp_path)
    for first in (41, 1, 31, 11, 21):
        store.write_bars(BTC, M1, make_bars(range(first, first + 10)))
    return store


def parquet_files(root):
    return sorted(root.joinpath("bars").rglob("*.parquet"))


def test_compaction_leaves_the_rows_in_one_file_and_every_version_readable(store, tmp_path):
    store.write_bars(ETH, M1, make_bars([1]))
    assert compact(store, BTC, M1) == 5
    assert compact(store, BTC, M1) == 1
    assert store.read_bars(BTC, M1).equals(make_bars(range(1, 51)))
    assert [store.read_bars(BTC, M1, version=version).height for version in (1, 2, 5)] == [10, 20, 50]


def test_vacuum_keeps_what_pinned_versions_and_the_newest_read(store, tmp_path):
    pin(store, "run-1", DataVersion(2, None))
    store.write_bars(BTC, M1, make_bars([1], price=101.0))
    compact(store, BTC, M1)
    pinned = store.read_bars(BTC, M1, version=2)
    newest = store.read_bars(BTC, M1)
    assert vacuum(store, retention_hours=0) > 0
    assert store.read_bars(BTC, M1, version=2).equals(pinned)
    assert store.read_bars(BTC, M1).equals(newest)
    with pytest.raises(StoreError):
        store.read_bars(BTC, M1, version=5)


def test_vacuum_keeps_funding_that_a_run_read(store):
    for rate in (0.0001, 0.0002, 0.0003):
        store.write_funding(BTC, make_funding([8], rate))
    pin(store, "run-1", DataVersion(1, 1))
    assert vacuum(store, retention_hours=0) > 0
    assert store.read_funding(BTC, version=1)["funding_rate"].item() == 0.0001
    with pytest.raises(StoreError):
        store.read_funding(BTC, version=2)


def test_series_of_few_files_is_left_alone(store):
    assert compact(store, BTC, M1, above=5) == 5
    assert len(parquet_files(Path(store.root))) == 5


def test_vacuum_leaves_young_files_alone(store, tmp_path):
    compact(store, BTC, M1)
    before = parquet_files(tmp_path)
    assert vacuum(store) == 0
    assert parquet_files(tmp_path) == before


def test_vacuum_of_an_empty_store_deletes_nothing(tmp_path):
    assert vacuum(Store(tmp_path / "none"), retention_hours=0) == 0


def test_pins_name_every_version_that_a_run_read(store):
    assert pins(store) == {}
    store.write_funding(BTC, make_funding([8]))
    for version in (DataVersion(2, None), DataVersion(2, None), DataVersion(5, 1)):
        pin(store, "btc-20260101", version)
    assert pins(store) == {"btc-20260101": [DataVersion(2, None), DataVersion(5, 1)]}
    with pytest.raises(ConfigError, match="run must match"):
        pin(store, "../run", DataVersion(1, None))


def test_sound_store_has_no_damage(store, tmp_path):
    seen = []
    assert verify(store, lambda done, of: seen.append((done, of))) == []
    assert seen == [(i, 5) for i in range(1, 6)]
    assert verify(Store(tmp_path / "none")) == []


def flip_a_number(path):
    rows = pl.read_parquet(path, hive_partitioning=False)
    rows.with_columns(close=pl.col("close") * (1 + 1e-15)).write_parquet(path)


def lose_a_row(path):
    pl.read_parquet(path, hive_partitioning=False).head(9).write_parquet(path)


def flip_a_byte(path):
    body = bytearray(path.read_bytes())
    body[-6] ^= 4  # in the length of the footer
    path.write_bytes(body)


@pytest.mark.parametrize("damage", [flip_a_number, lose_a_row, flip_a_byte, lambda path: path.unlink()])
def test_damaged_file_is_found_and_its_rows_are_brought_back(store, tmp_path, damage):
    damage(parquet_files(tmp_path)[2])
    [found] = verify(store)
    assert (found.table, found.series, found.num_rows) == ("bars", "bybit/linear/BTCUSDT 1m", 10)
    assert replace_file(store, found, make_bars(range(1, 51))) == 10
    assert store.read_bars(BTC, M1).equals(make_bars(range(1, 51)))
    assert verify(store) == []


def flip_one_close(path):
    rows = pl.read_parquet(path, hive_partitioning=False)
    first = pl.int_range(pl.len()) == 0
    rows.with_columns(close=pl.col("close") * (1 + 1e-9 * first)).write_parquet(path)


def test_sound_rows_of_a_damaged_file_stay_though_nothing_is_brought(store, tmp_path):
    flip_one_close(parquet_files(tmp_path)[2])
    [found] = verify(store)
    assert replace_file(store, found) == 9
    assert store.read_bars(BTC, M1).height == 49
    assert verify(store) == []


def test_damaged_notes_are_found_and_replaced(store, tmp_path):
    run = (minute(60), minute(62), minute(99), "halted")
    write_absent(store, BTC, M1, pl.DataFrame([run], ABSENT.values, orient="row"))
    path = next(tmp_path.joinpath("absent").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(StoreError):
        gaps(store, BTC, M1, minute(60), minute(62))
    [found] = verify(store)
    assert (found.table, replace_file(store, found)) == ("absent", 0)
    assert gaps(store, BTC, M1, minute(60), minute(62))["kind"].to_list() == ["not fetched"]
    assert verify(store) == []


def test_nothing_is_vacuumed_while_pins_cannot_be_read(store, tmp_path):
    pin(store, "run-1", DataVersion(2, None))
    compact(store, BTC, M1)
    path = next(tmp_path.joinpath("pins").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(StoreError, match="pins"):
        vacuum(store, retention_hours=0)


def test_every_pinned_version_of_every_run_is_kept(store):
    for run, version in (("a", 2), ("a", 3), ("b", 4)):
        pin(store, run, DataVersion(version, None))
    compact(store, BTC, M1)
    vacuum(store, retention_hours=0)
    assert [store.read_bars(BTC, M1, version=version).height for version in (2, 3, 4)] == [20, 30, 40]


def test_compaction_leaves_other_series_alone(store, tmp_path):
    for number in (1, 2):
        store.write_bars(ETH, M1, make_bars([number]))
    eth = {path: path.stat().st_mtime_ns for path in parquet_files(tmp_path) if "ETHUSDT" in str(path)}
    compact(store, BTC, M1)
    assert len(eth) == 2
    table = store.table(BARS)
    assert len(table.files(table.open(), bars_partition(ETH, M1))) == 2


def test_notes_are_compacted_too(store):
    for number in range(60, 66):
        run = (minute(number), minute(number), minute(99), "halted")
        write_absent(store, BTC, M1, pl.DataFrame([run], ABSENT.values, orient="row"))
    compact(store, BTC, M1)
    table = store.table(ABSENT)
    assert len(table.files(table.open(), bars_partition(BTC, M1))) == 1
    assert gaps(store, BTC, M1, minute(60), minute(65))["kind"].to_list() == ["halted"]


def test_sealed_rows_that_break_the_contract_are_damage_too(store):
    broken = make_bars([99]).with_columns(low=pl.lit(-1.0))
    store.table(BARS).upsert({bars_partition(BTC, M1): broken})
    [found] = verify(store)
    assert "low" in found.reason


def test_file_of_another_series_is_no_sound_file(store, tmp_path):
    store.write_bars(ETH, M1, make_bars(range(1, 11)))
    [eth] = [path for path in parquet_files(tmp_path) if "ETHUSDT" in str(path)]
    shutil.copy(parquet_files(tmp_path)[0], eth)
    [found] = verify(store)
    assert "another checksum" in found.reason
    assert "ETHUSDT" in found.path


def test_damage_in_an_object_store_cannot_be_set_aside():
    damage = Damage("bars", bars_partition(BTC, M1), "x.parquet", 1, minute(1), minute(1), "a reason")
    with pytest.raises(StoreError, match="must lie on this machine"):
        replace_file(Store("s3://bucket/store"), damage)
