"""Faults put into the table: other writers, other programs, damaged files."""

import json
import multiprocessing
import os
import shutil

import polars as pl
import pytest
from deltalake import DeltaTable, TableFeatures, write_deltalake
from deltalake.exceptions import CommitFailedError

from polyscale.market.errors import StoreError
from polyscale.store import delta_table
from polyscale.store.delta_table import PartitionedTable
from polyscale.store.layout import BARS, bars_partition
from polyscale.store.ledger import read_revisions
from polyscale.store.store import Store, WriteResult
from tests.store.series import BTC, ETH, M1, make_bars, minute

TEN = make_bars(range(1, 11))


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    store.write_bars(BTC, M1, TEN)
    return store


@pytest.fixture
def other_writer_first(tmp_path, monkeypatch):
    """Let another writer commit between our comparison and our merge, so many times as asked."""
    merge = PartitionedTable._merge
    pending = []

    def late(self, table, rows):
        if pending:
            written = pending.pop()
            with monkeypatch.context() as context:
                context.setattr(PartitionedTable, "_merge", merge)
                Store(tmp_path).write_bars(BTC, M1, written)
        merge(self, table, rows)

    monkeypatch.setattr(PartitionedTable, "_merge", late)
    monkeypatch.setattr(delta_table, "_FIRST_PAUSE_S", 0.0)
    return pending


def test_loser_of_a_race_for_the_same_bars_finds_them_there(store, other_writer_first):
    bars = make_bars(range(11, 21))
    other_writer_first.append(bars)
    assert store.write_bars(BTC, M1, bars) == WriteResult(0, 0, 10)
    assert store.read_bars(BTC, M1).equals(make_bars(range(1, 21)))


def test_loser_of_a_race_for_overlapping_bars_adds_the_rest(store, other_writer_first):
    other_writer_first.append(make_bars(range(8, 16)))
    assert store.write_bars(BTC, M1, make_bars(range(11, 21))) == WriteResult(5, 0, 5)
    assert store.read_bars(BTC, M1).equals(make_bars(range(1, 21)))


def test_loser_of_a_race_of_revisions_has_the_last_word(store, other_writer_first):
    other_writer_first.append(make_bars([5], price=101.0))
    assert store.write_bars(BTC, M1, make_bars([5], price=102.0)) == WriteResult(0, 1, 0)
    assert store.read_bars(BTC, M1)["close"][4] == 102.0


def test_race_for_the_first_write_of_all_keeps_every_bar_once(tmp_path, other_writer_first):
    other_writer_first.append(make_bars(range(1, 11)))
    store = Store(tmp_path)
    assert store.write_bars(BTC, M1, make_bars(range(6, 16))) == WriteResult(5, 0, 5)
    assert store.read_bars(BTC, M1).equals(make_bars(range(1, 16)))


def test_race_for_the_first_write_of_all_keeps_what_the_loser_overwrites(tmp_path, other_writer_first):
    other_writer_first.append(make_bars(range(1, 11)))
    store = Store(tmp_path)
    assert store.write_bars(BTC, M1, make_bars(range(1, 11), price=101.0)) == WriteResult(0, 10, 0)
    assert read_revisions(store, BTC, M1)["close"].to_list() == [100.0] * 10


def test_table_that_another_writer_makes_meanwhile_is_compared_with(tmp_path, monkeypatch):
    create = PartitionedTable._create

    def late(self):
        with monkeypatch.context() as context:
            context.setattr(PartitionedTable, "_create", create)
            Store(tmp_path).write_bars(BTC, M1, make_bars(range(1, 11)))
        return create(self)

    monkeypatch.setattr(PartitionedTable, "_create", late)
    store = Store(tmp_path)
    assert store.write_bars(BTC, M1, make_bars(range(1, 11), price=101.0)) == WriteResult(0, 10, 0)
    monkeypatch.undo()
    assert read_revisions(store, BTC, M1)["close"].to_list() == [100.0] * 10


def test_endless_conflict_is_a_store_error(store, monkeypatch):
    def lose(*arguments):
        raise CommitFailedError("a concurrent transaction added new data")

    monkeypatch.setattr(PartitionedTable, "_merge", lose)
    monkeypatch.setattr(delta_table, "_FIRST_PAUSE_S", 0.0)
    with pytest.raises(StoreError, match=r"BTCUSDT 1m must be written .* within 6 attempts, got a conflict"):
        store.write_bars(BTC, M1, make_bars([11]))


def acts_on(store):
    """What a writer may do on a snapshot that others have left behind."""
    table, series = store.table(BARS), bars_partition(BTC, M1)
    return {
        "compact": lambda: table.compact(series, 1),
        "insert": lambda: table.upsert({series: make_bars([31])}),
        "revise": lambda: table.upsert({series: make_bars([5], price=101.0)}),
    }


@pytest.mark.parametrize("first", ["compact", "insert", "revise"])
@pytest.mark.parametrize("second", ["compact", "insert", "revise"])
def test_whatever_two_writers_do_at_once_leaves_every_bar_once(store, monkeypatch, first, second):
    for begin in (11, 21):
        store.write_bars(BTC, M1, make_bars(range(begin, begin + 10)))
    opened, stale = PartitionedTable.open, [store.table(BARS).open()]
    acts = acts_on(store)
    acts[first]()
    with monkeypatch.context() as context:
        context.setattr(
            PartitionedTable, "open", lambda self, v=None: stale.pop() if stale else opened(self, v)
        )
        acts[second]()
    bars = store.read_bars(BTC, M1)
    assert bars["close_time"].to_list() == [minute(i) for i in range(1, 31 + ("insert" in (first, second)))]
    assert bars["close"][4] == (101.0 if "revise" in (first, second) else 100.0)


def write_blocks(root, price, barrier):
    barrier.wait()
    for first in range(1, 42, 10):
        Store(root).write_bars(BTC, M1, make_bars(range(first, first + 20), price))


def test_two_processes_that_write_at_once_leave_every_bar_once(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    writers = [spawn.Process(target=write_blocks, args=(tmp_path, p, barrier)) for p in (100.0, 101.0)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert Store(tmp_path).read_bars(BTC, M1).height == 60


def damage_log(root):
    (root / "bars" / "_delta_log" / f"{1:020}.json").write_text("{")


def cut_log(root):
    (root / "bars" / "_delta_log" / f"{0:020}.json").unlink()


def lose_log(root):
    shutil.rmtree(root / "bars" / "_delta_log")


def lose_file(root):
    next(root.rglob("*.parquet")).unlink()


def cut_file(root):
    path = next(root.rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:100])


def swap_file(root):
    """A file that reads well and holds a plausible bar that was never written, as flipped bits may."""
    path = next(root.rglob("*.parquet"))
    rows = pl.read_parquet(path, hive_partitioning=False)
    rows.with_columns(volume=pl.col("volume") + (pl.int_range(pl.len()) == 3)).write_parquet(path)


@pytest.mark.parametrize("damage", [damage_log, cut_log, lose_log, lose_file, cut_file, swap_file])
def test_damaged_table_is_a_store_error(store, tmp_path, damage):
    damage(tmp_path)
    with pytest.raises(StoreError, match=f"{tmp_path}/bars must .*restore") as caught:
        store.read_bars(BTC, M1)
    assert type(caught.value) is StoreError


def test_nothing_is_written_over_a_table_that_lost_its_log(store, tmp_path):
    lose_log(tmp_path)
    with pytest.raises(StoreError, match="must have a _delta_log"):
        store.write_bars(BTC, M1, TEN)


def test_table_of_another_program_is_refused(tmp_path):
    write_deltalake(tmp_path / "bars", pl.DataFrame({"a": [1]}))
    with pytest.raises(StoreError, match="must be a table of bars"):
        Store(tmp_path).read_bars(BTC, M1)


def test_table_that_needs_a_newer_reader_is_refused(store, tmp_path):
    table = DeltaTable(tmp_path / "bars")
    table.alter.add_feature(TableFeatures.DeletionVectors, allow_protocol_versions_increase=True)
    with pytest.raises(StoreError, match="for readers of version 1, got"):
        store.read_bars(BTC, M1)


def test_rows_doubled_by_another_program_are_refused(store, tmp_path):
    path = next(tmp_path.rglob("*.parquet"))
    names = {"venue": "bybit", "category": "linear", "symbol": "BTCUSDT", "timeframe": "1m"}
    rows = pl.read_parquet(path, hive_partitioning=False)
    write_deltalake(
        tmp_path / "bars", rows.with_columns(**{k: pl.lit(v) for k, v in names.items()}), mode="append"
    )
    with pytest.raises(StoreError, match=r"must hold each close_time of .* once"):
        store.read_bars(BTC, M1)


def test_reading_opens_the_files_of_its_series_only(store, tmp_path):
    path = next(tmp_path.rglob("*.parquet"))
    store.write_bars(ETH, M1, TEN)
    path.unlink()
    assert store.read_bars(ETH, M1).equals(TEN)


def test_new_bars_leave_written_files_alone(store, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    store.write_bars(BTC, M1, make_bars([*range(1, 11), 12, 13]))
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    assert before.items() < after.items()
    assert len(DeltaTable(tmp_path / "bars").file_uris()) == 2


def test_every_version_stays_readable_past_checkpoints(store, tmp_path):
    for number in range(11, 15):
        store.write_bars(BTC, M1, make_bars([number]))
    for entry in (tmp_path / "bars" / "_delta_log").iterdir():
        os.utime(entry, (0, 0))  # as if written in 1970
    DeltaTable(tmp_path / "bars").create_checkpoint()
    DeltaTable(tmp_path / "bars").cleanup_metadata()
    heights = [store.read_bars(BTC, M1, version=version).height for version in range(1, 6)]
    assert heights == [10, 11, 12, 13, 14]


def test_table_says_that_nothing_of_it_expires(store, tmp_path):
    log = (tmp_path / "bars" / "_delta_log" / f"{0:020}.json").read_text().splitlines()
    metadata = next(json.loads(line)["metaData"] for line in log if "metaData" in line)
    assert metadata["configuration"]["delta.enableExpiredLogCleanup"] == "false"
    assert metadata["configuration"]["delta.deletedFileRetentionDuration"] == "interval 36500 days"
