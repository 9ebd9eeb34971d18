import datetime as dt

import numpy as np
import polars as pl
import pytest

from polyscale.audit.purge import check_purge
from polyscale.dataset.folds import folds
from polyscale.dataset.panel import build_panel
from polyscale.dataset.settings import DataSettings, WalkForwardSettings
from polyscale.market.timeframe import DAY_MS

DATA = DataSettings(
    scales=[{"timeframe": "15m", "lookback": 8}],
    horizons=["1h", "4h"],
    features=("scaled_return_1",),
    base_forecast={"window_days": 10, "min_days": 5},
)


def _walk(**changes):
    return WalkForwardSettings(**{"first": "2025-01-20", "last": "2025-02-05", "validate_days": 3, **changes})


def _day(text):
    return int(np.datetime64(text, "ms").astype(np.int64))


def test_months_weeks_quarters_and_one_fit_for_all():
    def firsts(refit, first="2025-11-20", last="2026-04-05"):
        walk = WalkForwardSettings(first=first, last=last, refit=refit)
        return [fold.name for fold in folds(walk)]

    assert firsts("month")[:3] == ["2025-11-20", "2025-12-01", "2026-01-01"]
    assert firsts("quarter") == ["2025-11-20", "2026-01-01", "2026-04-01"]
    assert firsts("never") == ["2025-11-20"]
    assert firsts("week", last="2025-12-05") == ["2025-11-20", "2025-11-27", "2025-12-04"]


def test_tests_follow_one_another_without_gap_or_overlap():
    found = folds(_walk(refit="week"))
    assert [fold.ends.validate_end for fold in found[1:]] == [fold.ends.test_end for fold in found[:-1]]
    assert found[0].ends.validate_end == _day("2025-01-20")
    assert found[-1].ends.test_end == _day("2025-02-06")
    assert all(fold.ends.validate_end - fold.ends.train_end == 3 * DAY_MS for fold in found)


def test_every_origin_is_tested_once_and_the_longest_horizon_is_purged(bars):
    panel = build_panel("X", bars, DATA)
    found = folds(_walk(refit="week"))
    tested = sum(fold.split(panel).test.astype(int) for fold in found)
    inside = panel.usable & (panel.time_ms > _day("2025-01-20")) & (panel.time_ms <= _day("2025-02-06"))
    assert inside.sum() > 1_000
    assert (tested == inside).all()
    for fold in found:
        parts = fold.split(panel)
        rows = [
            panel.bars.select(time="close_time")
            .filter(mask)
            .with_columns(label_end=pl.col("time") + dt.timedelta(hours=4), part=pl.lit(name))
            for name, mask in (("train", parts.train), ("validate", parts.validate), ("test", parts.test))
        ]
        assert check_purge(pl.concat(rows)).findings == ()
        assert parts.train.any()


def test_a_rolling_window_forgets_what_is_older(bars):
    panel = build_panel("X", bars, DATA)
    whole, rolling = folds(_walk())[0], folds(_walk(window_days=3))[0]
    kept = rolling.split(panel).train
    assert (panel.time_ms[kept] > rolling.ends.train_end - 3 * DAY_MS).all()
    assert kept.sum() < whole.split(panel).train.sum()
    assert (kept <= whole.split(panel).train).all()


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="last must not be before first"):
        _walk(last="2025-01-01")
    with pytest.raises(ValueError, match="leave_out needs pooled"):
        _walk(leave_out=("X",), pooled=False)
    with pytest.raises(ValueError, match=r"leave_out must not repeat a symbol, got \['X'\] more than once"):
        _walk(leave_out=("X", "Y", "X"))
