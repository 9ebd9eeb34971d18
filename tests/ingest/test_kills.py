"""A fetch that is killed at random moments, through faulty pages: the stored bars are the source's."""

import os
import random
import subprocess
import sys
import time

import pytest

from polyscale.market.errors import NotStoredError
from polyscale.store.ledger import gaps
from polyscale.store.store import Store
from polyscale.store.upkeep import verify
from tests.replay.market import BTC, DAY_MS, FIRST_MS, M1, bars_of, exchange_of
from tests.replay.running import running

FAULTS = {
    "http_429": 0.04,
    "busy_10006": 0.04,
    "malformed": 0.04,
    "broken_row": 0.02,
    "duplicated": 0.2,
    "slow_page": 0.6,
    "slow_page_s": 0.6,
}


def fetch_process(url, store, days, *more):
    ends = (FIRST_MS, FIRST_MS + days * DAY_MS)
    words = [sys.executable, "-m", "tests.ingest.fetch_once", url, store, *ends, *more]
    return subprocess.Popen(
        list(map(str, words)),
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def await_commit(root, process):
    """Wait until bars are added, or the process ends; the first commit only makes the table."""
    before = max(num_commits(root), 1)
    while num_commits(root) <= before and process.poll() is None:
        time.sleep(0.01)


def num_commits(root):
    return len(list((root / "bars" / "_delta_log").glob("*.json")))


def complete(url, store, days, *more):
    with fetch_process(url, store, days, *more) as process:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said.decode()


def check_stored(store, source):
    """The store opens, and each of its bars is the source's; how many there are."""
    try:
        stored = store.read_bars(BTC, M1)
    except NotStoredError:
        return 0
    assert source.join(stored, on=stored.columns, how="semi").equals(stored)
    return stored.height


def kill_again_and_again(tmp_path, days, num_kills, seed):
    source, store = bars_of(days), Store(tmp_path)
    moments, heights = random.Random(seed), []
    exchange = exchange_of(
        FIRST_MS + days * DAY_MS + 5_000, bars={(BTC, M1): source}, faults=FAULTS, limited=False
    )
    with running(exchange) as server:
        for _ in range(num_kills):
            with fetch_process(server.url, tmp_path, days) as process:
                if moments.random() < 0.7:
                    await_commit(tmp_path, process)
                time.sleep(moments.uniform(0.0, 1.2))
                process.kill()
            heights.append(check_stored(store, source))
        complete(server.url, tmp_path, days)
        left = gaps(store, BTC, M1, source["close_time"][0], source["close_time"][-1])
        assert set(left["kind"]) <= {"quarantined"}  # by a row that was broken in both answers
        if left.height:
            complete(server.url, tmp_path, days, "recheck")
    assert heights == sorted(heights)
    assert store.read_bars(BTC, M1).equals(source)
    assert verify(store) == []
    return [height for height in heights if 0 < height < source.height]


def test_three_kills_lose_and_double_nothing(tmp_path):
    assert kill_again_and_again(tmp_path, days=30, num_kills=3, seed=5)


@pytest.mark.slow
def test_fifty_kills_lose_and_double_nothing(tmp_path):
    under_way = kill_again_and_again(tmp_path, days=365, num_kills=50, seed=6)
    assert len(set(under_way)) >= 20  # kills met a fetch that got on
