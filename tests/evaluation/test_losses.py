import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from sklearn.metrics import mean_pinball_loss

from polyscale.evaluation.losses import brier, pinball, qlike

LOG = st.floats(-5, 5)


@given(LOG, LOG)
def test_qlike_is_the_textbook_formula_and_never_negative(log_realised, log_forecast):
    ratio = np.exp(log_realised) / np.exp(log_forecast)
    loss = qlike(np.array([log_realised]), np.array([log_forecast]))
    assert loss[0] >= 0
    assert loss[0] == pytest.approx(ratio - np.log(ratio) - 1, rel=1e-9, abs=1e-9)


def test_qlike_keeps_its_digits_near_zero():
    assert qlike(np.array([1e-7]), np.array([0.0]))[0] == pytest.approx(5e-15, rel=0.05)


def test_qlike_punishes_a_forecast_too_low_harder_than_one_too_high():
    too_low, too_high = qlike(np.zeros(2), np.array([-1.0, 1.0]))
    assert too_low > too_high


def test_pinball_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    y, quantiles, levels = rng.normal(size=500), rng.normal(size=(500, 3)), np.array([0.1, 0.5, 0.975])
    got = pinball(y, quantiles, levels).mean(axis=0)
    wanted = [mean_pinball_loss(y, quantiles[:, k], alpha=p) for k, p in enumerate(levels)]
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_pinball_is_least_at_the_true_quantile():
    grid = np.linspace(-3, 3, 601)

    def expected_loss(x):
        return integrate.quad(
            lambda y: pinball(np.array([y]), np.array([[x]]), np.array([0.1]))[0, 0] * stats.norm.pdf(y),
            -8, 8, points=[x],
        )[0]  # fmt: skip

    best = grid[np.argmin([expected_loss(x) for x in grid[::10]]) * 10]
    assert best == pytest.approx(stats.norm.ppf(0.1), abs=0.06)


def test_brier_of_a_coin_is_a_quarter():
    np.testing.assert_allclose(brier(np.full(2, 0.5), np.array([0.0, 1.0])), 0.25)
