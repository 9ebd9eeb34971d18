import datetime as dt

import numpy as np
import polars as pl
import pytest

from polyscale.audit import Plan, check
from polyscale.dataset.panel import build_panel, memory_bars, num_origin_inputs, panel_of_any_length
from polyscale.dataset.scaling import fit_scaler
from polyscale.dataset.settings import DataSettings, SplitSettings
from polyscale.dataset.split import boundaries, check_parts, split
from polyscale.dataset.stretches import cut, rows_per_scale, scale_panel
from polyscale.market.errors import HistoryError
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe

SETTINGS = DataSettings(
    scales=[
        {"timeframe": "15m", "lookback": 12},
        {"timeframe": "1h", "lookback": 6},
        {"timeframe": "4h", "lookback": 3},
    ],
    horizons=["1h", "4h"],
    features=("scaled_return_1", "relative_move", "close_position"),
    base_forecast={"window_days": 15, "min_days": 5},
)
SPLIT = SplitSettings(train_share=0.6, validate_share=0.2)


@pytest.fixture(scope="module")
def panel(bars):
    return build_panel("X", bars, SETTINGS)


@pytest.fixture(scope="module")
def scaled(panel):
    scalers = tuple(fit_scaler([rows]) for rows in panel.features)
    return scale_panel(panel, scalers, fit_scaler([panel.origin]))


def panel_rows(bars):
    """Every input of an origin as one flat row: its own, and the aligned rows of all scales."""
    panel = build_panel("X", bars, SETTINGS)
    known = [
        np.where(panel.index[:, [j]] >= 0, rows[np.maximum(panel.index[:, j], 0)], np.nan)
        for j, rows in enumerate(panel.features)
    ]
    table = np.column_stack([*known, panel.origin, panel.base, panel.targets.sigma])
    return panel.bars.select("close_time").hstack(pl.DataFrame(table))


def test_no_input_of_an_origin_knows_its_future(bars):
    cuts = tuple(bars["close_time"][kept - 1] for kept in (2_001, 2_304, 2_400, 3_000, 3_839))
    assert check(panel_rows, bars, plan=Plan(whole_cuts=cuts, newest_cuts=0, truncations=0)).findings == ()


@pytest.mark.parametrize("num_bars", [1, 2, 5])
def test_a_history_of_a_bar_or_two_has_rows_and_no_usable_origin(bars, num_bars):
    panel = panel_of_any_length("X", bars.head(num_bars), SETTINGS)
    assert len(panel.time_ms) == num_bars
    assert not panel.usable.any()
    with pytest.raises(HistoryError, match=f"found {num_bars}"):
        build_panel("X", bars.head(num_bars), SETTINGS)


def test_what_is_asked_for_from_a_day_on_is_the_same_and_needs_no_more_than_its_memory():
    bars = simulate_bars(SimulationSettings(days=60, timeframe=Timeframe(15), seed=3))
    panel = build_panel("X", bars, SETTINGS)
    memory, last = memory_bars(SETTINGS), 5_500
    since_ms = int(panel.time_ms[last - 5])
    late = build_panel("X", bars.slice(last + 1 - memory, memory), SETTINGS, since_ms=since_ms)
    for name in ("origin", "base"):
        np.testing.assert_allclose(
            getattr(late, name)[-5:], getattr(panel, name)[last - 4 : last + 1], rtol=1e-9
        )
    assert memory < last
    assert late.usable[-5:].all()
    assert not late.usable[: memory - 200].any()
    assert (late.origin[-5:, -2:] != 0).all()  # surprises of weeks ago are known, not taken as none


def test_the_width_of_the_origin_is_as_announced(panel):
    assert panel.origin.shape[1] == num_origin_inputs(SETTINGS)


def test_parts_are_purged_by_the_longest_horizon(panel):
    ends = boundaries([panel], SPLIT)
    parts = split(panel, ends)
    time, longest = panel.time_ms, SETTINGS.horizons[-1].ms
    assert (time[parts.train] + longest).max() <= ends.train_end < time[parts.validate].min()
    assert (time[parts.validate] + longest).max() <= ends.validate_end < time[parts.test].min()
    assert not (parts.train & parts.validate | parts.validate & parts.test).any()


def test_dates_are_whole_days_in_utc(panel):
    dates = SplitSettings(train_until=dt.date(2025, 1, 25), validate_until=dt.date(2025, 1, 30))
    ends = boundaries([panel], dates)
    assert ends.train_end == dt.datetime(2025, 1, 26, tzinfo=dt.UTC).timestamp() * 1_000
    assert ends.test_end == panel.time_ms[-1]


def test_an_empty_part_says_what_was_found(panel):
    dates = SplitSettings(train_until=dt.date(2020, 1, 1), validate_until=dt.date(2025, 1, 30))
    ends = boundaries([panel], dates)
    with pytest.raises(HistoryError, match="train part needs at least 1 origin with labels, found 0"):
        check_parts([panel], [split(panel, ends)], ends)


def test_too_little_history_says_rows_needed_and_found(bars):
    with pytest.raises(HistoryError, match=r"needs about 1,264 bars of 15m .* found 900"):
        build_panel("X", bars.head(900), SETTINGS)


def test_origins_on_filled_or_missing_bars_are_not_used(bars):
    holed = pl.concat([bars.head(2_000), bars.slice(2_002)])
    usable = build_panel("X", holed, SETTINGS).usable
    assert usable[1_999]
    assert not usable[2_000:2_002].any()
    assert usable[2_002]


def test_a_stretch_holds_for_each_origin_exactly_the_rows_of_its_window(panel, scaled):
    counted = np.ones(len(panel.time_ms), dtype=bool)
    stretch = cut([scaled], [counted], [(0, 1_500), (0, 3_830)], 20, SETTINGS)
    for b, (first, n) in enumerate([(1_500, 13), (3_830, 9)]):
        for j, scale in enumerate(SETTINGS.scales):
            last = panel.index[first + n, j]
            local = stretch.index[b, n, j]
            window = slice(local - scale.lookback + 1, local + 1)
            np.testing.assert_array_equal(
                stretch.rows[j][b, window], scaled.rows[j][last - scale.lookback + 1 : last + 1]
            )
            assert stretch.masks[j][b, window].all()
    assert stretch.counted.sum() == 20 + 10


def test_a_stretch_before_the_data_is_masked(scaled):
    counted = np.ones(len(scaled.index), dtype=bool)
    stretch = cut([scaled], [counted], [(0, 0)], 8, SETTINGS)
    assert not stretch.masks[2].any()
    assert [rows.shape[1] for rows in stretch.rows] == list(rows_per_scale(SETTINGS, 8))
    assert all((stretch.index[0, :, j] < stretch.rows[j].shape[1]).all() for j in range(3))


def test_a_scaler_is_not_moved_by_a_crash_and_clips_it():
    rows = np.random.default_rng(0).normal(5, 2, (10_000, 1))
    crashed = rows.copy()
    crashed[17] = 1e9
    a, b = fit_scaler([rows]), fit_scaler([crashed])
    np.testing.assert_allclose([a.median[0], a.spread[0]], [b.median[0], b.spread[0]], rtol=1e-2)
    assert b.apply(crashed).max() == 6
    np.testing.assert_allclose([a.median[0], a.spread[0]], [5, 2], rtol=0.05)


def test_a_scale_that_was_never_warm_in_training_is_masked_for_good(panel):
    scalers = (fit_scaler([panel.features[0]]), fit_scaler([panel.features[1][:3]]), None)
    assert scalers[1] is None
    masked = scale_panel(panel, scalers, fit_scaler([panel.origin]))
    assert masked.warm[0].any()
    assert not masked.warm[1].any()
    assert not masked.warm[2].any()


def test_a_constant_input_is_scaled_to_zero():
    rows = np.full((100, 1), 3.0)
    assert (fit_scaler([rows]).apply(rows) == 0).all()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (
            {"scales": [{"timeframe": "1h", "lookback": 3}, {"timeframe": "15m", "lookback": 3}]},
            "from fine to coarse",
        ),
        ({"horizons": ["20m"]}, "whole multiples of the base timeframe"),
        ({"features": ["nope"]}, "features must be out of"),
        ({"horizons": ["4h", "1h"]}, "horizons must rise"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change, rule):
    good = {"scales": [{"timeframe": "15m", "lookback": 3}], "horizons": ["1h"]}
    with pytest.raises(ValueError, match=rule):
        DataSettings(**{**good, **change})
