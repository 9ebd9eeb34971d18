"""The store on S3: a real server on loopback, real clients."""

import itertools
import os
import socket
import subprocess
import sys
import threading
import time

import polars as pl
import pytest

from polyscale.market.errors import ConfigError, NotStoredError, StoreError
from polyscale.store.gaps import GapKind
from polyscale.store.ledger import gaps, read_revisions, write_absent
from polyscale.store.store import Store, WriteResult
from polyscale.store.upkeep import compact, pin, pins, replace_file, vacuum, verify
from tests.store.s3_server import BUCKET, s3_server
from tests.store.series import BTC, ETH, M1, M5, make_bars, make_funding, minute

_numbers = itertools.count()


@pytest.fixture(scope="module")
def server():
    with s3_server() as server:
        yield server


@pytest.fixture
def root():
    return f"s3://{BUCKET}/folder/store-{next(_numbers)}"


@pytest.fixture
def store(server, root):
    return Store(root, storage_options=server.options)


def keys(server, root):
    """Paths of the requests that changed something under a root."""
    return [path for method, path, _ in server.asked if method != "GET" and root.removeprefix("s3:/") in path]


def test_bars_come_back_as_they_were_written_and_twice_makes_no_version(store):
    bars = make_bars(range(1, 11))
    assert store.write_bars(BTC, M1, bars) == WriteResult(10, 0, 0)
    before = store.version()
    assert store.write_bars(BTC, M1, bars) == WriteResult(0, 0, 10)
    assert store.version() == before
    assert store.read_bars(BTC, M1).equals(bars)
    assert store.read_bars(BTC, M1, start=minute(3), end=minute(5)).height == 2


def test_funding_series_and_contents_are_read(store):
    store.write_series({(BTC, M1): make_bars([1, 2, 5]), (ETH, M5): make_bars([5])})
    store.write_funding(BTC, make_funding([0, 8]))
    assert store.series() == [(BTC, M1), (ETH, M5)]
    assert store.contents()["missing_bars"].to_list() == [2, 0]
    assert store.read_funding(BTC).equals(make_funding([0, 8]))


def test_older_versions_and_revisions_are_kept(store):
    store.write_bars(BTC, M1, make_bars([1, 2]))
    version = store.version().bars
    assert store.write_bars(BTC, M1, make_bars([2, 3], price=101.0)) == WriteResult(1, 1, 0)
    assert store.read_bars(BTC, M1, version=version).equals(make_bars([1, 2]))
    assert read_revisions(store, BTC, M1)["close"].to_list() == [100.0]


def test_gaps_are_known_with_their_reason(store):
    store.write_bars(BTC, M1, make_bars([1, 2, 6, 9]))
    run = {"first_close_time": [minute(3)], "last_close_time": [minute(5)], "asked_time": [minute(99)]}
    write_absent(store, BTC, M1, pl.DataFrame({**run, "kind": [GapKind.OUTAGE.value]}))
    assert gaps(store, BTC, M1)["kind"].to_list() == ["outage", "not fetched"]


def test_compaction_and_vacuum_keep_what_is_pinned(store):
    for number in range(1, 6):
        store.write_bars(BTC, M1, make_bars([number]))
    pin(store, "run-1", store.version())
    pinned = pins(store)["run-1"][0].bars
    assert compact(store, BTC, M1) == 5
    store.write_bars(BTC, M1, make_bars([6], price=102.0))
    assert compact(store, BTC, M1) == 2
    assert vacuum(store, retention_hours=0) == 2
    assert store.read_bars(BTC, M1, version=pinned).equals(make_bars(range(1, 6)))
    assert store.read_bars(BTC, M1).height == 6
    assert verify(store) == []


def test_file_that_is_gone_is_found_and_not_replace_file_here(server, store, root):
    store.write_bars(BTC, M1, make_bars([1, 2, 3]))
    [path] = [path for path in keys(server, root) if path.endswith(".parquet")]
    server.ask("DELETE", path)
    [damage] = verify(store)
    assert (damage.num_rows, damage.first) == (3, minute(1))
    assert "NoSuchKey" in damage.reason
    with pytest.raises(StoreError, match="must lie on this machine to be set aside, got s3://"):
        replace_file(store, damage)


def test_object_that_is_damaged_is_told_to_be_restored(server, store, root):
    store.write_bars(BTC, M1, make_bars([1, 2, 3]))
    [path] = [path for path in keys(server, root) if path.endswith(".parquet")]
    server.ask("PUT", path, b"no candles any more")
    [damage] = verify(store)
    assert "\n" not in damage.reason
    assert damage.reason.endswith("restore it from a backup, or import into a new store")


def test_every_commit_is_refused_by_the_server_if_its_file_is_there(server, store, root, monkeypatch):
    monkeypatch.setenv("AWS_S3_ALLOW_UNSAFE_RENAME", "true")
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
    begin = len(server.asked)
    store.write_bars(BTC, M1, make_bars([1]))
    logs = [one for one in server.asked[begin:] if one[0] == "PUT" and "_delta_log" in one[1]]
    assert len(logs) == 2
    assert {if_none_match for _, _, if_none_match in logs} == {"*"}


@pytest.mark.parametrize(
    "option",
    [
        {"AWS_S3_ALLOW_UNSAFE_RENAME": "true"},
        {"allow_unsafe_rename": "1"},
        {"aws_conditional_put": "disabled"},
    ],
)
def test_options_that_make_two_writers_unsafe_are_refused(server, option):
    with pytest.raises(ConfigError, match=r"storage_options must leave .* one of two writers would lose"):
        Store(f"s3://{BUCKET}/x", storage_options=server.options | option)


def test_two_writers_at_once_lose_nothing_not_even_the_first_commit(server, root):
    at_once = threading.Barrier(2)
    failed = []

    def write(parity):
        store = Store(root, storage_options=server.options)
        at_once.wait(10)
        try:
            for number in range(1 + parity, 13, 2):
                store.write_bars(BTC, M1, make_bars([number]))
        except StoreError as error:
            failed.append(error)

    writers = [threading.Thread(target=write, args=(parity,)) for parity in (0, 1)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert failed == []
    store = Store(root, storage_options=server.options)
    assert store.read_bars(BTC, M1).equals(make_bars(range(1, 13)))


def test_two_writers_of_the_same_bars_store_them_once(server, root):
    def write(price):
        Store(root, storage_options=server.options).write_bars(BTC, M1, make_bars(range(1, 50), price))

    writers = [threading.Thread(target=write, args=(price,)) for price in (100.0, 101.0)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    store = Store(root, storage_options=server.options)
    closes = store.read_bars(BTC, M1)["close"]
    assert (len(closes), closes.n_unique()) == (49, 1)
    assert read_revisions(store, BTC, M1).height == 49


def test_command_takes_the_address_and_the_variables_of_the_environment(server, store, root, tmp_path):
    store.write_bars(BTC, M1, make_bars([1, 2, 4]))
    words = [sys.executable, "-m", "polyscale", "bars", "--json", "--store", root]
    environment = {**os.environ, **server.options, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert '"rows": 3' in done.stdout
    assert list(tmp_path.iterdir()) == []


def told(options, root=f"s3://{BUCKET}/x", write=False):
    """The one line of an error, and that it came soon."""
    began = time.monotonic()
    store = Store(root, storage_options=options)
    with pytest.raises(StoreError) as caught:
        store.write_bars(BTC, M1, make_bars([1])) if write else store.read_bars(BTC, M1)
    assert time.monotonic() - began < 15
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("write", [False, True])
def test_missing_bucket_is_told_in_one_line(server, write):
    line = told(server.options, "s3://no-such-bucket/x", write)
    assert f"got from {server.url}: NoSuchBucket: The specified bucket does not exist; check" in line


@pytest.mark.parametrize("write", [False, True])
def test_missing_credentials_are_told_in_one_line(server, write):
    options = {name: value for name, value in server.options.items() if "KEY" not in name}
    nowhere = {"aws_metadata_endpoint": "http://127.0.0.1:9", "max_retries": "1"}
    line = told(options | nowhere, write=write)
    assert "needs credentials, got none; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in line


def test_endpoint_that_is_not_there_is_told_in_one_line(server):
    line = told(server.options | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    assert "got from http://127.0.0.1:9: Connection refused" in line


def test_endpoint_that_says_nothing_is_given_up(server):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        line = told(server.options | {"AWS_ENDPOINT_URL": url, "timeout": "1s", "max_retries": "1"})
    assert f"got from {url}: " in line


def test_endpoint_without_tls_needs_permission(server):
    options = {name: value for name, value in server.options.items() if name != "AWS_ALLOW_HTTP"}
    assert "set AWS_ALLOW_HTTP=true" in told(options)


def test_nothing_stored_is_told_as_on_a_folder(store):
    with pytest.raises(NotStoredError, match=r"got nothing \(s3://candles/folder/store-"):
        store.read_bars(BTC, M1)
