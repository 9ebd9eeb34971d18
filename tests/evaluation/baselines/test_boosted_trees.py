import sys

import numpy as np
import pytest

from polyscale.evaluation.baselines.boosted_trees import boosted_trees
from polyscale.evaluation.baselines.ridge import ridge
from polyscale.evaluation.losses import qlike
from polyscale.market.errors import ConfigError
from tests.evaluation.baselines.market import came, newest, planted, small_rows


def product_market():
    """What no line can tell: whether the sign of the last bar is that of the half of the day."""
    rng = np.random.default_rng(1)

    def surprise(panel):
        agree = np.sign(newest(panel, 0, 0)) * np.sign(panel.origin[:, 0])
        return np.column_stack([0.6 * agree, -0.6 * agree]) + rng.normal(-0.045, 0.3, panel.base.shape)

    return planted(small_rows(), surprise)


def test_a_product_of_signs_is_found_where_ridge_is_blind():
    rows = product_market()
    y = np.concatenate(came(rows))
    known = np.isfinite(y).all(axis=1)
    trees, lines = (qlike(y, np.concatenate(model(rows)))[known].mean() for model in (boosted_trees, ridge))
    floor = 0.3**2 / 2
    assert trees < 1.5 * floor
    assert lines > 4 * floor


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    rows = product_market()
    first, again, other = boosted_trees(rows, 1), boosted_trees(rows, 1), boosted_trees(rows, 2)
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


def test_without_lightgbm_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ConfigError, match=r"polyscale\[lightgbm\]"):
        boosted_trees(small_rows())
