from datetime import UTC, datetime

import polars as pl
import pytest

from polyscale.store.delta_table import PartitionedTable
from polyscale.store.layout import ABSENT, QUARANTINE
from polyscale.store.ledger import gaps, read_quarantine, read_revisions, write_absent, write_quarantine
from polyscale.store.store import Store
from tests.store.series import BTC, ETH, M1, make_bars, minute


def absent(*runs):
    rows = [(minute(a), minute(b), minute(asked), kind) for a, b, asked, kind in runs]
    return pl.DataFrame(rows, ABSENT.values, orient="row")


def test_gaps_are_between_the_stored_bars_and_wider_where_asked(tmp_path):
    store = Store(tmp_path)
    assert gaps(store, BTC, M1).is_empty()
    store.write_bars(BTC, M1, make_bars([3, 4, 7]))
    write_absent(store, BTC, M1, absent((1, 2, 9, "pre-listing"), (5, 5, 9, "halted")))
    assert gaps(store, BTC, M1).rows() == [
        (minute(5), minute(5), 1, "halted"),
        (minute(6), minute(6), 1, "not fetched"),
    ]
    wide = gaps(store, BTC, M1, minute(1), minute(8))
    assert wide.select("missing_bars", "kind").rows() == [
        (2, "pre-listing"),
        (1, "halted"),
        (1, "not fetched"),
        (1, "not fetched"),
    ]


def test_bar_that_comes_later_is_no_gap_any_more(tmp_path):
    store = Store(tmp_path)
    store.write_bars(BTC, M1, make_bars([1, 5]))
    write_absent(store, BTC, M1, absent((2, 4, 9, "outage")))
    store.write_bars(BTC, M1, make_bars([3]))
    assert gaps(store, BTC, M1)["missing_bars"].to_list() == [1, 1]


def test_shorter_note_leaves_the_rest_of_a_longer_one(tmp_path):
    store = Store(tmp_path)
    store.write_bars(BTC, M1, make_bars([1, 9]))
    write_absent(store, BTC, M1, absent((2, 8, 9, "pre-listing")))
    write_absent(store, BTC, M1, absent((2, 3, 10, "halted")))
    found = gaps(store, BTC, M1).select("missing_bars", "kind").rows()
    assert found == [(2, "halted"), (5, "pre-listing")]


def test_run_that_is_noted_again_takes_the_place_of_the_old_note(tmp_path):
    store = Store(tmp_path)
    store.write_bars(BTC, M1, make_bars([1, 5]))
    write_absent(store, BTC, M1, absent((2, 4, 9, "absent")))
    write_absent(store, BTC, M1, absent((2, 4, 10, "halted")))
    assert gaps(store, BTC, M1)["kind"].to_list() == ["halted"]


def test_quarantined_rows_are_kept_per_series(tmp_path):
    store = Store(tmp_path)
    row = (minute(1), minute(2), "high must be >= low, got '1'", "['1', 'ü\\n']")
    write_quarantine(store, BTC, M1, pl.DataFrame([row], QUARANTINE.values, orient="row"))
    assert read_quarantine(store, BTC, M1).rows() == [row]
    assert read_quarantine(store, ETH, M1).is_empty()


def test_what_a_bar_was_is_kept_before_it_is_overwritten(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.write_bars(BTC, M1, make_bars([4]))

    def killed(*words):
        raise KeyboardInterrupt

    monkeypatch.setattr(PartitionedTable, "_merge", killed)
    with pytest.raises(KeyboardInterrupt):
        store.write_bars(BTC, M1, make_bars([4], price=101.0))
    assert store.read_bars(BTC, M1)["close"].item() == 100.0
    assert read_revisions(store, BTC, M1)["close"].item() == 100.0


def test_every_revision_keeps_what_the_bar_was_before(tmp_path):
    store, before = Store(tmp_path), datetime.now(UTC)
    for price in (100.0, 101.0, 102.0, 102.0):
        store.write_bars(BTC, M1, make_bars([4, 5], price))
    revisions = read_revisions(store, BTC, M1)
    assert sorted(revisions.select("close_time", "close").rows()) == [
        (minute(4), 100.0),
        (minute(4), 101.0),
        (minute(5), 100.0),
        (minute(5), 101.0),
    ]
    assert (revisions["revised_time"] >= before.replace(microsecond=0)).all()
