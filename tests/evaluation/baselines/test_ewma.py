import numpy as np
import pytest

from polyscale.evaluation.baselines.ewma import HALF_LIVES_H, ewma, weighted_mean
from polyscale.evaluation.baselines.rows import learnable
from polyscale.evaluation.losses import qlike
from polyscale.features.realised import squared_returns
from polyscale.targets.targets import log_close
from tests.evaluation.baselines.market import small_rows


def test_weighted_mean_agrees_with_the_sum_it_stands_for():
    values = np.random.default_rng(1).chisquare(1, 300)
    values[[120, 121, 200]] = np.nan
    got = weighted_mean(values, half_life=10)
    for t in (60, 125, 299):
        age = t - np.arange(t + 1)
        weight = np.where(np.isfinite(values[: t + 1]), 0.5 ** (age / 10), 0.0)
        assert got[t] == pytest.approx(np.nansum(weight * values[: t + 1]) / weight.sum(), rel=1e-9)


def test_weighted_mean_is_missing_until_nine_tenths_of_the_weight_are_there():
    got = weighted_mean(np.ones(100), half_life=10)
    first = int(np.flatnonzero(np.isfinite(got))[0])
    assert 1 - 0.5 ** ((first + 1) / 10) >= 0.9 > 1 - 0.5 ** (first / 10)
    hole = np.ones(400)
    hole[200:240] = np.nan
    assert np.isnan(weighted_mean(hole, half_life=10)[210:240]).all()


def test_the_chosen_half_life_has_the_least_loss_in_training():
    """Every other candidate, with the best constant beside it, does worse on the training rows."""
    rows = small_rows()
    every = ewma(rows.__class__(rows.panels, rows.train, rows.validate, rows.train, rows.data))
    for h in range(2):
        grid = [learnable(p, t, 15) for p, t in zip(rows.panels, rows.train, strict=True)]
        y = np.concatenate([p.targets.log_variance[m, h] for p, m in zip(rows.panels, grid, strict=True)])
        said = np.concatenate([f[:, h] for f in every])
        ours = qlike(y, said)
        for hours in HALF_LIVES_H:
            series = [
                np.log(weighted_mean(squared_returns(log_close(p.bars)), max(hours * 4, 1)))[m]
                for p, m in zip(rows.panels, grid, strict=True)
            ]
            other = np.concatenate(series)
            known = np.isfinite(other) & np.isfinite(said)
            shifts = np.linspace(-1, 1, 81)
            best = min(qlike(y[known], other[known] + shift).mean() for shift in shifts)
            assert ours[known].mean() <= best + 2e-3
