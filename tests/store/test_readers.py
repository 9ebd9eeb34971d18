"""Readers while writers work: each sees the table as one commit left it."""

import multiprocessing
import time

from polyscale.market.errors import NotStoredError
from polyscale.store.store import Store
from polyscale.store.upkeep import compact, vacuum
from tests.store.series import BTC, ETH, M1, make_bars

NUM_BLOCKS = 12


def write_blocks(root, market, price, barrier):
    """Blocks of ten bars, a revision of the last block each time, and a compaction now and then."""
    store = Store(root)
    barrier.wait()
    for block in range(NUM_BLOCKS):
        store.write_bars(market, M1, make_bars(range(10 * block + 1, 10 * block + 11), price))
        if block % 5 == 4:
            compact(store, market, M1)


def test_readers_never_fail_and_never_see_half_a_commit_while_two_writers_work(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(3)
    jobs = [(BTC, 100.0), (BTC, 101.0), (ETH, 102.0)]
    writers = [spawn.Process(target=write_blocks, args=(tmp_path, *job, barrier)) for job in jobs]
    for writer in writers:
        writer.start()
    store, heights, deadline = Store(tmp_path), [], time.monotonic() + 120
    while any(writer.is_alive() for writer in writers) and time.monotonic() < deadline:
        try:
            bars = store.read_bars(BTC, M1)
        except NotStoredError:
            continue  # nothing was written yet
        assert bars.height % 10 == 0
        for block in range(bars.height // 10):
            assert bars["close"][10 * block : 10 * block + 10].n_unique() == 1  # one writer's block
        heights.append(bars.height)
        vacuum(store)
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert heights == sorted(heights)
    assert len(set(heights)) > 2
    assert store.read_bars(BTC, M1).height == store.read_bars(ETH, M1).height == 10 * NUM_BLOCKS
