"""The probability of overfitting against a slow twin, and on searches whose answer is known."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from polyscale.evaluation.overfitting import MAX_BLOCKS, measure_overfitting
from polyscale.market.errors import DataError


def noise(seed, num_periods=120, num_sets=20):
    return np.random.default_rng(seed).normal(0.0, 0.01, (num_periods, num_sets))


def slow_twin(returns, num_blocks):
    """One split after the other, one set after the other, on the returns themselves."""
    num_sets = returns.shape[1]
    blocks = np.array_split(np.arange(len(returns)), num_blocks)

    def ratios(half):
        picked = returns[np.concatenate([blocks[i] for i in half])]
        varies = np.ptp(picked, axis=0) > 0
        return [x.mean() / x.std(ddof=1) if v else 0.0 for x, v in zip(picked.T, varies, strict=True)]

    here, there, logits = [], [], []
    for half in combinations(range(num_blocks), num_blocks // 2):
        one, other = ratios(half), ratios([i for i in range(num_blocks) if i not in half])
        best = np.flatnonzero(np.round(one, 10) == np.round(max(one), 10))
        winner = min(best, key=lambda i, other=other: other[i])
        relative = stats.rankdata(np.round(other, 10))[winner] / (num_sets + 1)
        here.append(one[winner])
        there.append(other[winner])
        logits.append(np.log(relative / (1 - relative)))
    return np.array(here), np.array(there), np.array(logits)


@pytest.mark.parametrize("num_blocks", [2, 6, 8])
@pytest.mark.parametrize("num_periods", [67, 96])
def test_it_agrees_with_the_slow_twin(num_blocks, num_periods):
    returns = noise(5, num_periods, 9)
    returns[:, 3] = 2.5 * returns[:, 2]  # the same strategy at another size
    returns[:, 4] = 0.0  # never traded
    returns[: num_periods // 2, 5] = 0.0
    returns[num_periods // 2 :, 6] = 0.0
    got, (here, there, logits) = measure_overfitting(returns, num_blocks), slow_twin(returns, num_blocks)
    np.testing.assert_allclose(got.logits_s, logits, atol=1e-12, rtol=0)
    assert got.probability == pytest.approx((logits < 1e-12).mean(), abs=1e-12)
    assert got.probability_of_loss == pytest.approx((there < 0).mean(), abs=1e-12)
    assert got.degradation == pytest.approx(stats.linregress(here, there).slope, abs=1e-12)
    assert (got.num_sets, got.num_splits, got.reason) == (9, len(logits), "")


def test_splits_put_in_several_chunks_are_the_same(monkeypatch):
    returns = noise(6)
    whole = measure_overfitting(returns, 8)
    monkeypatch.setattr("polyscale.evaluation.overfitting._CHUNK", 60)
    parts = measure_overfitting(returns, 8)
    np.testing.assert_array_equal(parts.logits_s, whole.logits_s)
    assert parts.degradation == pytest.approx(whole.degradation, rel=1e-12)


def test_sixteen_blocks_make_the_splits_of_the_paper():
    assert measure_overfitting(noise(0), 16).num_splits == 12_870


@pytest.mark.parametrize(("num_sets", "wanted"), [(20, 1 / 2), (3, 2 / 3)])
def test_noise_is_overfit_as_often_as_not_and_a_choice_at_the_median_counts_as_overfit(num_sets, wanted):
    found = [measure_overfitting(noise(seed, 120, num_sets), 8).probability for seed in range(600)]
    assert abs(np.mean(found) - wanted) < 4 * stats.sem(found)
    assert stats.sem(found) < 0.012


def test_one_set_that_is_truly_better_is_no_overfit():
    returns = noise(1, 400, 50)
    returns[:, 17] += 0.005
    got = measure_overfitting(returns)
    assert got.probability < 0.01
    assert got.probability_of_loss < 0.01
    assert got.degradation < -0.5  # arithmetic: what one half has more the other has less


def test_sets_that_win_here_what_they_lose_there_are_overfit():
    """Of sets without any profit over the whole time, whatever shines in one half failed in the other."""
    returns = noise(2, 400, 50)
    got = measure_overfitting(returns - returns.mean(axis=0))
    assert got.probability > 0.99
    assert got.probability_of_loss == 1.0
    assert got.degradation == pytest.approx(-1.0, abs=0.1)


def test_sets_that_each_fit_one_stretch_are_overfit_while_steady_ones_are_not_chosen():
    returns = noise(3, 320, 16)
    returns -= returns.mean(axis=0) - 0.001  # steady, and never the best of a half
    flukes = noise(4, 320, 16)
    flukes -= 0.004
    for i in range(16):
        flukes[20 * i : 20 * (i + 1), i] += 0.08
    assert measure_overfitting(np.hstack([returns, flukes])).probability > 0.95


def test_copies_of_one_strategy_are_a_choice_of_nothing():
    returns = noise(7, 120, 1) * np.array([1.0, 0.3, 7.0, 1.0])
    got = measure_overfitting(returns, 8)
    assert not got.logits_s.any()
    assert got.probability == 1.0


def test_neither_the_order_nor_the_size_of_sets_matters():
    returns = noise(8, 120, 12)
    returns[:50, :4] = 0.0
    returns[70:, 2:6] = 0.0
    rng = np.random.default_rng(0)
    order, size = rng.permutation(12), rng.uniform(0.1, 10.0, 12)
    one, other = measure_overfitting(returns, 8), measure_overfitting((returns * size)[:, order], 8)
    np.testing.assert_array_equal(one.logits_s, other.logits_s)
    assert one.probability_of_loss == other.probability_of_loss


def test_the_order_of_blocks_does_not_matter():
    blocks = noise(9, 120, 10).reshape(8, 15, 10)
    one = measure_overfitting(blocks.reshape(120, 10), 8)
    other = measure_overfitting(blocks[[3, 1, 7, 0, 2, 6, 5, 4]].reshape(120, 10), 8)
    np.testing.assert_allclose(np.sort(one.logits_s), np.sort(other.logits_s), atol=1e-12)


def test_a_set_that_never_traded_ranks_as_cash():
    losing = noise(10) - 0.02
    got = measure_overfitting(np.hstack([losing, np.zeros((120, 1))]), 8)
    np.testing.assert_allclose(got.logits_s, np.log(21.0))  # 21 sets: first of them in both halves
    assert (got.probability, got.probability_of_loss, got.degradation) == (0.0, 0.0, None)
    winning = measure_overfitting(np.hstack([noise(10) + 0.02, np.zeros((120, 1))]), 8)
    without = measure_overfitting(noise(10) + 0.02, 8)
    assert winning.probability <= without.probability  # cash is one more that the choice is above


def test_a_constant_return_is_no_ratio_without_end():
    """Money at rest earns no Sharpe ratio, whatever rounding makes of its variance."""
    steady = np.tile(np.random.default_rng(0).uniform(-0.1, 0.1, 20), (120, 1))
    np.testing.assert_array_equal(
        measure_overfitting(np.hstack([noise(11), steady]), 8).logits_s,
        measure_overfitting(np.hstack([noise(11), 0.0 * steady]), 8).logits_s,
    )


def test_of_sets_tied_here_the_one_that_does_worst_there_is_taken():
    """Two sets stayed out of the first half, where all others lost; one of them lost in the second."""
    returns = noise(12, 120, 4) - 0.05
    returns[:60, :2] = 0.0
    returns[60:, 0] += 0.1
    got = measure_overfitting(returns, 2)
    np.testing.assert_allclose(got.logits_s[0], slow_twin(returns, 2)[2][0], atol=1e-12)
    assert got.logits_s[0] < np.log(4.0)


@pytest.mark.parametrize(
    ("returns", "reason"),
    [
        (noise(0, 120, 1), "at least two parameter sets, got 1"),
        (noise(0, 59, 5), "59 periods are fewer than the 60 of 30 in each half"),
        (np.zeros((120, 5)), "no parameter set vary"),
    ],
)
def test_where_there_is_no_probability_there_is_a_reason(returns, reason):
    got = measure_overfitting(returns)
    assert (got.probability, got.probability_of_loss, got.degradation) == (None, None, None)
    assert (got.logits_s.size, got.num_splits) == (0, 0)
    assert reason in got.reason


@pytest.mark.parametrize("num_blocks", [0, 7, MAX_BLOCKS + 2])
def test_blocks_that_make_no_halves_are_refused(num_blocks):
    with pytest.raises(DataError, match=f"got {num_blocks}"):
        measure_overfitting(noise(0), num_blocks)


def test_returns_that_are_none_are_refused():
    returns = noise(0)
    returns[3, 3] = np.nan
    with pytest.raises(DataError, match="got 1 not finite"):
        measure_overfitting(returns)
