import numpy as np
import pytest

from polyscale.evaluation.baselines.correction import log_bias
from polyscale.evaluation.losses import qlike


def test_of_normal_residuals_it_is_mean_plus_half_the_variance():
    residual = np.random.default_rng(1).normal(0.3, 0.6, 400_000)
    assert log_bias(residual) == pytest.approx(0.3 + 0.6**2 / 2, abs=0.005)


def test_qlike_is_least_at_the_correction():
    residual = np.random.default_rng(2).normal(0.1, 0.5, 5_000)
    losses = {k: qlike(residual, np.full(5_000, log_bias(residual) + k)).mean() for k in (-0.02, 0, 0.02)}
    assert min(losses, key=losses.get) == 0


def test_one_crash_hardly_moves_it():
    residual = np.random.default_rng(3).normal(0, 0.5, 5_000)
    crashed = np.append(residual, 12.0)
    assert log_bias(crashed) == pytest.approx(log_bias(residual), abs=0.002)
    assert np.log(np.exp(crashed).mean()) > 3
