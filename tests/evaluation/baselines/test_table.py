import numpy as np
import pytest

from polyscale.evaluation.baselines import table
from polyscale.evaluation.baselines.rows import learnable
from polyscale.evaluation.baselines.table import blocks, fit_design, lessons
from tests.evaluation.baselines.market import small_rows


def test_a_block_holds_the_newest_row_that_had_closed():
    rows = small_rows()
    panel, at = rows.panels[0], np.array([2_000, 2_001, 2_003, 3_500])
    origin, *scales = blocks(panel, at)
    np.testing.assert_array_equal(origin, panel.origin[at])
    hours_closed = panel.time_ms[at] // 3_600_000 - panel.time_ms[0] // 3_600_000
    first_hour = panel.index[:, 1].min()
    assert first_hour == -1
    for k, t in enumerate(at):
        np.testing.assert_array_equal(scales[0][k], panel.features[0][t])
        np.testing.assert_array_equal(scales[1][k], panel.features[1][hours_closed[k] - 1])


def test_a_scale_without_a_warm_row_is_missing():
    rows = small_rows()
    early = blocks(rows.panels[0], np.array([0, 1]))
    assert np.isnan(early[2]).all()


def test_a_design_has_a_median_where_a_row_is_missing_and_says_so():
    rng = np.random.default_rng(1)
    tables = [rng.normal(size=(500, 2)), rng.normal(5, 2, (500, 3)), np.full((500, 1), np.nan)]
    design = fit_design(tables)
    tables[1][7] = np.nan
    x = design.apply(tables)
    assert x.shape == (500, 2 + 3 + 1)  # the scale that never was has no column
    np.testing.assert_array_equal(x[7, 2:], [0, 0, 0, 1])
    assert x[:, 5].sum() == 1


def test_lessons_are_the_learnable_origins_of_all_symbols_in_order():
    rows = small_rows()
    got = lessons(rows, rows.train)
    masks = [learnable(p, t, 15) for p, t in zip(rows.panels, rows.train, strict=True)]
    slow = [
        p.targets.log_variance[t] - p.base[t]
        for p, mask in zip(rows.panels, masks, strict=True)
        for t in np.flatnonzero(mask)
    ]
    np.testing.assert_array_equal(got.beyond_base, slow)
    assert all(len(block) == len(slow) for block in got.blocks)


def test_rows_beyond_the_most_are_thinned_through_every_quarter_of_the_day(monkeypatch):
    rows, taken = small_rows(), []

    def watched(panel, at):
        taken.append((panel, at))
        return blocks(panel, at)

    monkeypatch.setattr(table, "blocks", watched)
    monkeypatch.setattr(table, "_ROWS_AT_MOST", 1_500)
    found = lessons(rows, rows.train)
    every = sum(int(learnable(p, m, 15).sum()) for p, m in zip(rows.panels, rows.train, strict=True))
    assert every > 2 * 1_500
    assert len(found.beyond_base) == pytest.approx(1_500, rel=0.1)
    quarters = np.concatenate([panel.time_ms[at] // 900_000 % 96 for panel, at in taken])
    assert len(np.unique(quarters)) == 96
    for panel, at in taken:
        assert learnable(panel, np.isin(np.arange(len(panel.time_ms)), at), 15).sum() == len(at)
    np.testing.assert_array_equal(lessons(rows, rows.train).beyond_base, found.beyond_base)
