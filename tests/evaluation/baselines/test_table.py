import numpy as np
import pytest

from polyscale.evaluation.baselines import table
from polyscale.evaluation.baselines.rows import learnable
from tests.evaluation.baselines.market import small_rows


@pytest.mark.parametrize("most", [400, 10**6])
def test_rows_are_at_most_so_many_and_have_every_hour_of_the_day(monkeypatch, most):
    monkeypatch.setattr(table, "_ROWS_AT_MOST", most)
    rows = small_rows()
    found = table.lessons(rows, rows.train)
    every = sum(int(learnable(p, m, 15).sum()) for p, m in zip(rows.panels, rows.train, strict=True))
    assert len(found.beyond_base) == pytest.approx(min(most, every), rel=0.2)
    assert all(len(block) == len(found.beyond_base) for block in found.blocks)
    again = table.lessons(rows, rows.train)
    np.testing.assert_array_equal(found.beyond_base, again.beyond_base)
