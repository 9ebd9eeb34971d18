from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from polyscale.evaluation.baselines.ridge import PENALTIES, ridge, ridge_path
from polyscale.evaluation.losses import qlike
from polyscale.market.errors import HistoryError
from tests.evaluation.baselines.market import came, newest, planted, small_rows


def test_every_penalty_agrees_with_scikit_learn():
    rng = np.random.default_rng(1)
    x = rng.normal(1, 2, (400, 5)) @ rng.normal(size=(5, 5))
    y = x @ rng.normal(size=5) + rng.normal(size=400)
    for penalty, got in zip(PENALTIES[:-1], ridge_path(x, y, PENALTIES), strict=False):
        oracle = Ridge(alpha=penalty * 400).fit(x, y)
        np.testing.assert_allclose(got.slopes, oracle.coef_, rtol=1e-6, atol=1e-9)
        assert got.intercept == pytest.approx(oracle.intercept_, rel=1e-6)


def test_an_infinite_penalty_leaves_the_mean():
    x, y = np.random.default_rng(2).normal(size=(50, 3)), np.arange(50.0)
    *_, last = ridge_path(x, y, (1.0, np.inf))
    np.testing.assert_allclose(last(x), y.mean())


def linear_market(noise):
    rng = np.random.default_rng(3)

    def surprise(panel):
        signal = 0.4 * newest(panel, 0, 2) - 0.3 * newest(panel, 1, 2) + 0.2 * panel.origin[:, 0]
        return np.column_stack([signal, -signal]) + rng.normal(-(noise**2) / 2, noise, panel.base.shape)

    return planted(small_rows(), surprise)


def test_a_linear_market_is_recovered():
    """Without noise the forecast is the truth, but for inputs clipped at six standard deviations."""
    rows = linear_market(noise=0.0)
    for y, forecast in zip(came(rows), ridge(rows), strict=True):
        known = np.isfinite(y).all(axis=1)
        assert np.quantile(np.abs(y - forecast)[known], 0.99) < 0.01


def test_with_noise_it_scores_what_the_noise_costs():
    rows = linear_market(noise=0.5)
    y, forecast = np.concatenate(came(rows)), np.concatenate(ridge(rows))
    known = np.isfinite(y).all(axis=1)
    best = 0.5**2 / 2  # of QLIKE: the expectation of e^z - z - 1, z normal with mean -s^2/2
    assert qlike(y[known], forecast[known]).mean() == pytest.approx(best, rel=0.1)


def test_where_nothing_can_be_learned_it_is_close_to_the_base():
    rng = np.random.default_rng(4)
    rows = planted(small_rows(), lambda panel: rng.normal(-0.125, 0.5, panel.base.shape))
    for panel, wanted, forecast in zip(rows.panels, rows.wanted, ridge(rows), strict=True):
        assert np.abs(forecast - panel.base[wanted]).mean() < 0.06


def test_a_symbol_that_is_left_out_is_forecast_as_well():
    rows = small_rows()
    nothing = np.zeros_like(rows.train[1])
    left_out = replace(rows, train=[rows.train[0], nothing], validate=[rows.validate[0], nothing])
    alone = replace(
        rows, panels=rows.panels[:1], train=rows.train[:1], validate=rows.validate[:1], wanted=rows.wanted[:1]
    )
    got = ridge(left_out)
    np.testing.assert_array_equal(got[0], ridge(alone)[0])
    assert np.isfinite(got[1]).all()


def test_too_few_training_origins_are_refused():
    rows = small_rows()
    nothing = [np.zeros_like(mask) for mask in rows.train]
    with pytest.raises(HistoryError, match=r"500 training origins.*found 0"):
        ridge(replace(rows, train=nothing))
    with pytest.raises(HistoryError, match=r"1 validation origins.*found 0"):
        ridge(replace(rows, validate=nothing))
