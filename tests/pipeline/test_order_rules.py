"""The order rules of a market on their way from the store into a run, and out of it again."""

from dataclasses import replace
from pathlib import Path

import pytest

from polyscale.config.run_config import parse_config
from polyscale.market.errors import RunError, StoreError
from polyscale.market.instant import time_of
from polyscale.market.order_rules import OrderRules
from polyscale.market.simulate import simulate_bars
from polyscale.pipeline.job import begin
from polyscale.pipeline.load import (
    SymbolBars,
    fingerprint,
    load_at_version,
    load_symbols,
    pin_version,
    same_bars,
)
from polyscale.pipeline.reproduce import reproduce
from polyscale.pipeline.run import Silent, evaluate, start
from polyscale.store.store import Store
from polyscale.store.upkeep import replace_file, verify
from tests.pipeline.small import small
from tests.store.series import BTC, make_bars, make_funding

SIMULATED = parse_config(small(), "small")
CONFIG = parse_config(small().replace(small().splitlines()[2], "market: {symbols: [SIM]}"), "small")
[MARKET] = CONFIG.market.markets()
FINE, COARSE = OrderRules(0.001, 0.001, 5.0), OrderRules(0.01, 0.02, 10.0)
EARLY, LATE = time_of(1_704_067_200_000), time_of(1_735_689_600_000)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    store.write_bars(MARKET, CONFIG.data.base, simulate_bars(SIMULATED.market.simulation))
    return store


def begun(store):
    """The folder of a run over what the store holds now."""
    symbols, version = load_at_version(CONFIG, store)
    folder = start(CONFIG, symbols, version, Path(store.root).parent / "runs")
    pin_version(folder, store, version)
    return folder


def rules_of(symbols):
    return [item.rules for item in symbols]


def spoil(store, table):
    path = next(Path(store.root, table).rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-100])


def test_a_run_reads_the_rules_of_its_market(store):
    store.write_order_rules(MARKET, FINE, EARLY)
    assert rules_of(load_symbols(CONFIG, store)) == [FINE]
    assert rules_of(load_at_version(CONFIG, store)[0]) == [FINE]


def test_without_stored_rules_nothing_is_demanded(store):
    store.write_order_rules(replace(MARKET, symbol="OTHER"), FINE, EARLY)
    assert rules_of(load_at_version(CONFIG, store)[0]) == [OrderRules()]
    assert rules_of(load_symbols(SIMULATED, store)) == [OrderRules()]


def test_hashes_of_runs_without_rules_stay_and_any_rule_changes_them():
    item = SymbolBars(BTC, make_bars(range(1, 11)), funding=make_funding([8]))
    assert fingerprint([item]) == {"BTCUSDT": "2190944ec5e78c84be378bd545b7e334"}
    others = [OrderRules(1.0), OrderRules(0.0, 1.0), OrderRules(0.0, 0.0, 1.0), OrderRules(1.0, 1.0)]
    assert len({fingerprint([replace(item, rules=rules)])["BTCUSDT"] for rules in others}) == 4


def test_a_run_reads_its_own_rules_again_though_the_venue_changed_them(store):
    store.write_order_rules(MARKET, FINE, EARLY)
    folder = begun(store)
    store.write_order_rules(MARKET, COARSE, LATE)
    assert rules_of(load_symbols(CONFIG, store)) == [COARSE]
    assert rules_of(same_bars(folder, CONFIG, store)) == [FINE]


def test_a_run_of_an_earlier_version_opens_though_rules_were_stored_since(store):
    folder = begun(store)
    about = folder.about
    assert about["data"].pop("order_rules") is None
    folder.write_json("run.json", about)
    store.write_order_rules(MARKET, FINE, LATE)
    assert rules_of(same_bars(folder, CONFIG, store)) == [OrderRules()]


def test_bars_that_were_fetched_again_are_read_beside_the_rules_of_the_run(store):
    folder = begun(store)
    bars = store.read_bars(MARKET, CONFIG.data.base)
    store.write_order_rules(MARKET, FINE, LATE)
    spoil(store, "bars")
    [damage] = verify(store)
    replace_file(store, damage, bars)
    assert rules_of(same_bars(folder, CONFIG, store)) == [OrderRules()]


def test_damaged_rules_are_told_and_those_that_were_fetched_again_will_do(store):
    store.write_order_rules(MARKET, FINE, EARLY)
    folder = begun(store)
    spoil(store, "order_rules")
    with pytest.raises(StoreError, match="order_rules"):
        same_bars(folder, CONFIG, store)
    [damage] = verify(store)
    replace_file(store, damage)
    store.write_order_rules(MARKET, COARSE, LATE)
    with pytest.raises(RunError, match="must hash to"):
        same_bars(folder, CONFIG, store)
    store.write_order_rules(MARKET, FINE, time_of(LATE.timestamp() * 1_000 + 1))
    assert rules_of(same_bars(folder, CONFIG, store)) == [FINE]


def test_a_run_over_rules_is_reproduced_after_they_changed(store, tmp_path):
    store.write_order_rules(MARKET, FINE, EARLY)
    config = CONFIG.model_copy(update={"training": CONFIG.training.model_copy(update={"epochs": 1})})
    job = begin(config, store, tmp_path / "runs", Silent())
    evaluate(job.train(Silent()), job.symbols, job.prepared, Silent())
    store.write_order_rules(MARKET, COARSE, LATE)
    assert reproduce(job.folder, store, Silent()).same
