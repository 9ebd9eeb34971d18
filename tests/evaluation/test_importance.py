import numpy as np
import pytest

from polyscale.evaluation.importance import effects, mean_rank_correlation, rank_correlation
from polyscale.evaluation.losses import qlike
from polyscale.evaluation.settings import EvaluationSettings

SETTINGS = EvaluationSettings(num_bootstrap=200)


def test_an_effect_is_the_mean_move_of_the_log_volatility_and_the_loss_beside_the_whole():
    rng = np.random.default_rng(1)
    came, whole = rng.normal(size=(400, 2)), np.zeros((400, 2))
    without = np.where(np.arange(400)[:, None] % 2 == 0, 1.0, -1.0) * np.array([[0.2, 0.6]])
    came[300:, 0] = np.nan
    first, second = effects(whole, without, came, (1, 4), SETTINGS)
    assert (first.shift, second.shift) == pytest.approx((0.1, 0.3))
    expected = qlike(came[:300, 0], without[:300, 0]).mean() - qlike(came[:300, 0], whole[:300, 0]).mean()
    assert first.qlike.mean == pytest.approx(expected)
    assert second.qlike.low < second.qlike.mean < second.qlike.high


def test_without_labels_there_is_no_loss():
    (effect,) = effects(np.zeros((5, 1)), np.ones((5, 1)), np.full((5, 1), np.nan), (1,), SETTINGS)
    assert effect.shift == 0.5
    assert effect.qlike is None


@pytest.mark.parametrize(
    ("effect", "value", "share"),
    [([1, 2, 3, 4], 1.0, 1 / 24), ([4, 3, 2, 1], -1.0, 1.0), ([1, 2, 4, 3], 0.8, 4 / 24)],
)
def test_four_numbers_are_held_against_all_their_orders(effect, value, share):
    found = rank_correlation(np.array([0.1, 0.2, 0.3, 0.4]), np.array(effect, dtype=float))
    assert found.value == pytest.approx(value)
    assert found.p_one_sided == pytest.approx(share)
    assert found.num == 4


def test_many_numbers_have_a_p_value_too():
    rng = np.random.default_rng(2)
    x = rng.normal(size=40)
    assert rank_correlation(x, x + rng.normal(size=40)).p_one_sided < 0.01
    assert rank_correlation(x, -x).p_one_sided > 0.99


def test_a_rank_correlation_that_does_not_exist_says_why():
    assert "needs >= 3 numbers, got 2" in rank_correlation(np.array([0.5, 0.5]), np.array([1.0, 2.0])).reason
    found = rank_correlation(np.full(3, 1 / 3), np.array([1.0, 2.0, 3.0]))
    assert (found.value, found.p_one_sided) == (None, None)


def test_the_mean_over_origins_is_that_of_each_origins_rank_correlation():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(3)
    importance, effect = rng.random((50, 4)), rng.random((50, 4))
    expected = np.mean([spearmanr(a, b).statistic for a, b in zip(importance, effect, strict=True)])
    assert mean_rank_correlation(importance, effect) == pytest.approx(expected)
    constant = np.vstack([importance, np.full((1, 4), 0.25)])
    assert mean_rank_correlation(constant, np.vstack([effect, effect[:1]])) == pytest.approx(expected)
    assert mean_rank_correlation(np.full((2, 4), 0.25), effect[:2]) is None
    assert mean_rank_correlation(importance[:, :2], effect[:, :2]) is None
