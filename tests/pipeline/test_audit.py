"""A trained run under audit: clean as it is, and each stage caught when it alone looks ahead."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import yaml

import polyscale
from polyscale.audit import Audit
from polyscale.base import forecasts, rolling
from polyscale.config.run_config import parse_config
from polyscale.dataset import panel as panel_file
from polyscale.features.catalogue import CATALOGUE
from polyscale.features.feature import Feature
from polyscale.pipeline import audit as audit_file
from polyscale.pipeline import learn as learn_file
from polyscale.pipeline.audit import Depth, audit_run, keep_audit
from polyscale.pipeline.job import begin
from polyscale.pipeline.run import Silent, evaluate, load_run
from polyscale.scales.align import align
from polyscale.store.store import Store
from polyscale.strategy import decide
from tests.pipeline.small import believed, small


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A complete run with a coarse scale, and what it was made from."""
    root = tmp_path_factory.mktemp("runs")
    job = begin(parse_config(small(), "small"), Store(root / "store"), root, Silent())
    run = believed(job.train(Silent()))
    evaluate(run, job.symbols, job.prepared, Silent())
    return run, job.symbols


def audited(complete, cuts=14, depth=Depth.FULL):
    run, symbols = complete
    return audit_run(run, symbols, Silent(), cuts, depth)


def columns(found, of=""):
    return {finding.column for finding in found.findings}


def test_a_run_is_clean_and_every_part_of_it_was_asked(complete):
    found = audited(complete, cuts=24)
    assert found.clean, str(found)
    asked = {scope.of.removeprefix("SIM: ") for scope in found.tests if scope.rows}
    assert asked == {
        "bars to forecasts",
        "forecasts to positions",
        "frozen scalers",
        "online base forecast",
        "split",
        "stored scalers",
    }
    cuts = {scope.test: scope.cuts for scope in found.tests if scope.of == "SIM: bars to forecasts"}
    assert (cuts["prefix"], cuts["bar-by-bar"]) == (3, 21)


def test_the_short_audit_asks_the_newest_rows_and_the_split(complete):
    found = audited(complete, cuts=6, depth=Depth.NEWEST)
    assert found.clean
    assert {scope.of for scope in found.tests} == {"SIM: bars to forecasts", "SIM: split"}


def test_a_scale_that_is_aligned_one_row_too_late_is_caught(complete, monkeypatch):
    def ahead(origin_ms, close_ms):
        return np.minimum(align(origin_ms, close_ms) + 1, len(close_ms) - 1)

    monkeypatch.setattr(panel_file, "align", ahead)
    found = audited(complete, depth=Depth.NEWEST)
    leak = next(finding for finding in found.findings if finding.column.startswith("1h "))
    assert leak.source.startswith("bars.")
    assert leak.reach.bars >= 1


def test_a_base_forecast_that_knows_labels_before_their_end_is_caught(complete, monkeypatch):
    original = rolling.rolling_forecast

    def hasty(regressors, log_variance, time_ms, horizons, settings, loss, since_ms=None):
        ahead = np.roll(log_variance, -4, axis=0)  # labels of the next hour
        return original(regressors, ahead, time_ms, horizons, settings, loss, since_ms)

    monkeypatch.setattr(forecasts, "rolling_forecast", hasty)
    assert "base 4h" in columns(audited(complete, depth=Depth.NEWEST))
    monkeypatch.setattr(audit_file, "rolling_forecast", hasty)
    found = audited(complete)
    assert any(finding.column == "forecast" for finding in found.findings)


def test_scalers_that_are_fitted_on_the_test_as_well_are_caught(complete, monkeypatch):
    original = learn_file.fit_scalers

    def greedy(prepared, data):
        everything = [
            type(part)(panel.usable, part.validate, part.test)
            for panel, part in zip(prepared.panels, prepared.splits, strict=True)
        ]
        return original(type(prepared)(prepared.panels, everything, prepared.ends), data)

    monkeypatch.setattr(audit_file, "fit_scalers", greedy)
    assert any(name.startswith(("15m.", "1h.", "origin.")) for name in columns(audited(complete)))


def test_a_split_without_purge_is_caught(complete, monkeypatch):
    original = audit_file.split

    def unpurged(panel, ends):
        parts = original(panel, ends)
        return type(parts)(panel.usable & (panel.time_ms <= ends.train_end), parts.validate, parts.test)

    monkeypatch.setattr(audit_file, "split", unpurged)
    found = audited(complete, depth=Depth.NEWEST)
    assert columns(found) == {"train|validate"}


def test_a_strategy_that_looks_at_the_next_forecast_is_caught(complete, monkeypatch):
    original = audit_file.decide

    def hindsight(forecast, settings, cost, closes):
        held = original(forecast, settings, cost, closes)
        return type(held)(held.close_time, np.roll(held.target, -1))

    monkeypatch.setattr(audit_file, "decide", hindsight)
    assert columns(audited(complete)) == {"position"}


def test_a_users_feature_that_leaks_is_caught_in_a_run(tmp_path, monkeypatch):
    peek = Feature("peek", (pl.col("close").shift(-2) / pl.col("close")).log(), 1, "the next half hour")
    monkeypatch.setitem(CATALOGUE, "peek", peek)
    raw = yaml.safe_load(small()) | {"training": {"epochs": 1, "stretch": 128}}
    raw["data"]["features"] = ["scaled_return_1", "peek"]
    job = begin(parse_config(yaml.safe_dump(raw), "x"), Store(tmp_path / "store"), tmp_path, Silent())
    found = audit_run(job.train(Silent()), job.symbols, Silent(), 6, Depth.NEWEST)
    assert {"15m peek", "1h peek"} <= columns(found)
    leak = next(finding for finding in found.findings if finding.column == "15m peek")
    assert (leak.source, leak.reach.bars) == ("bars.close", 2)


def test_what_was_found_is_kept_and_stands_at_the_top_of_the_report(complete):
    run, _ = complete
    assert "Not audited for look-ahead" in run.folder.read_text("report.html")
    found = audited(complete, cuts=4)
    keep_audit(run.folder, found, 4, Depth.FULL)
    keep_audit(run.folder, found, 4, Depth.FULL)
    page = run.folder.read_text("report.html")
    assert page.count('id="audit"') == 1
    assert "Look-ahead audit: clean" in page
    told = json.loads(run.folder.read_text("audit.json"))
    assert (told["clean"], told["cuts"]) == (True, 4)
    assert load_run(run.folder.path).config == run.config
    assert isinstance(found, Audit)


def test_a_model_whose_scalers_are_not_those_of_training_is_caught(complete):
    run, symbols = complete
    first, *others = run.model.facts.feature_scalers
    moved = first.model_copy(update={"median": tuple(value + 0.1 for value in first.median)})
    facts = run.model.facts.model_copy(update={"feature_scalers": (moved, *others)})
    found = audited((replace(run, model=replace(run.model, facts=facts)), symbols), cuts=4)
    assert ("15m", "as fitted") in {(finding.column, finding.test) for finding in found.findings}


def test_closes_that_take_the_next_signal_are_caught(complete, monkeypatch):
    original = decide._spread

    def ahead(values, at, num_rows, absent):
        return original(np.roll(values, -1), at, num_rows, absent)

    monkeypatch.setattr(decide, "_spread", ahead)
    assert "position" in columns(audited(complete))


def test_the_audit_from_python_keeps_what_it_found(complete):
    run, symbols = complete
    found = polyscale.audit_run(run, {"SIM": symbols[0].bars}, cuts=4)
    assert found.clean
    assert json.loads(run.folder.read_text("audit.json"))["cuts"] == 4
