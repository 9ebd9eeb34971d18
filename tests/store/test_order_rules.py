from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from polyscale.market.errors import ConfigError, NotStoredError, StoreError
from polyscale.market.order_rules import OrderRules
from polyscale.store.layout import ORDER_RULES, market_partition
from polyscale.store.store import DataVersion, Store, WriteResult
from polyscale.store.upkeep import pin, pins, replace_file, vacuum, verify
from tests.store.series import BTC, ETH, M1, make_bars, minute

FINE, COARSE = OrderRules(0.001, 0.001, 5.0), OrderRules(0.01, 0.02, 10.0)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.fixture
def changed(store):
    """A market whose rules became coarser after an hour."""
    store.write_order_rules(BTC, FINE, minute(0))
    store.write_order_rules(BTC, COARSE, minute(60))
    return store


def parquet_files(store):
    return sorted(Path(store.root, "order_rules").rglob("*.parquet"))


def test_nothing_stored_is_none(store):
    assert store.read_order_rules(BTC) is None
    assert store.version() == DataVersion(None, None, None)


def test_newest_rules_count_and_older_versions_stay_readable(changed):
    assert changed.version().order_rules == 2
    assert changed.read_order_rules(BTC) == COARSE
    assert changed.read_order_rules(BTC, version=1) == FINE
    assert changed.read_order_rules(ETH) is None


def test_rules_that_hold_already_make_no_version(changed):
    assert changed.write_order_rules(BTC, COARSE, minute(120)) == WriteResult(0, 0, 1)
    assert changed.version().order_rules == 2
    assert changed.write_order_rules(ETH, COARSE, minute(120)) == WriteResult(1, 0, 0)


def test_rules_that_come_back_are_noted_again(changed):
    assert changed.write_order_rules(BTC, FINE, minute(120)) == WriteResult(1, 0, 0)
    assert changed.read_order_rules(BTC) == FINE


def test_older_rules_that_are_written_later_do_not_count(changed):
    changed.write_order_rules(BTC, FINE, minute(30))
    assert changed.read_order_rules(BTC) == COARSE


def test_version_that_does_not_exist_is_told_the_versions(changed):
    with pytest.raises(NotStoredError, match="has the versions 0 to 2, got 3"):
        changed.read_order_rules(BTC, version=3)


def test_time_without_a_zone_is_refused(store):
    with pytest.raises(ConfigError, match="time must have a time zone"):
        store.write_order_rules(BTC, FINE, datetime(2024, 1, 1))


def test_vacuum_deletes_no_rules_though_nothing_pins_them(changed):
    changed.write_order_rules(BTC, FINE, minute(60))  # another word on the same time: a file is replaced
    vacuum(changed, retention_hours=0)
    assert [changed.read_order_rules(BTC, version=version) for version in (1, 2, 3)] == [FINE, COARSE, FINE]


def test_pin_of_a_version_with_rules_is_noted_once(changed):
    changed.write_bars(BTC, M1, make_bars([1]))
    for _ in range(2):
        pin(changed, "run-1", changed.version())
    assert pins(changed) == {"run-1": [DataVersion(1, None)]}


def test_changed_number_is_damage_that_is_told_and_set_aside(changed):
    path = next(path for path in parquet_files(changed) if 0.02 in pl.read_parquet(path)["min_quantity"])
    rows = pl.read_parquet(path, hive_partitioning=False)
    rows.with_columns(min_quantity=pl.lit(0.2)).write_parquet(path)
    with pytest.raises(StoreError, match=r"another checksum .* `polyscale bars --verify`"):
        changed.read_order_rules(BTC)
    [found] = verify(changed)
    assert (found.table, found.series) == ("order_rules", "bybit/linear/BTCUSDT")
    assert replace_file(changed, found) == 0
    assert changed.read_order_rules(BTC) == FINE
    assert verify(changed) == []


def test_sealed_rules_that_no_venue_has_are_damage_too(store):
    row = pl.DataFrame([(minute(0), 0.1, -1.0, 0.0)], ORDER_RULES.values, orient="row")
    store.table(ORDER_RULES).upsert({market_partition(BTC): row})
    with pytest.raises(StoreError, match="min_quantity must be a finite number >= 0"):
        store.read_order_rules(BTC)
    [found] = verify(store)
    assert "min_quantity" in found.reason
