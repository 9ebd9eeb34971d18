import numpy as np
import pytest
from arch.bootstrap import CircularBlockBootstrap
from scipy import signal, stats

from polyscale.evaluation.bootstrap import Bootstrap, block_length
from polyscale.evaluation.information_coefficient import information_coefficient


def pair(rng, num, correlation, phi=0.0, horizon=1):
    """Bivariate normal signal and return; the signal persists, labels overlap over the horizon."""
    x = signal.lfilter([np.sqrt(1 - phi**2)], [1.0, -phi], rng.standard_normal(num + 200))[200:]
    noise = np.convolve(rng.standard_normal(num + horizon - 1), np.ones(horizon), "valid") / np.sqrt(horizon)
    return x, correlation * x + np.sqrt(1 - correlation**2) * noise


def test_it_is_spearmans_with_ties():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 9, 400).astype(float), rng.integers(0, 5, 400).astype(float)
    got = information_coefficient(x, y, Bootstrap(10))
    assert got.mean == pytest.approx(stats.spearmanr(x, y).statistic, rel=1e-12)


def test_interval_is_that_of_arch_with_every_draw_ranked_again():
    x, y = pair(np.random.default_rng(1), 400, 0.15, 0.5, 3)
    peer = CircularBlockBootstrap(16, x, y, seed=1)
    wanted = peer.apply(lambda a, b: stats.spearmanr(a, b).statistic, 800)[:, 0]
    got, blocks = information_coefficient(x, y, Bootstrap(16, num_draws=4000)), 400 / 16
    wide = stats.t.ppf(0.975, blocks - 1) / stats.norm.ppf(0.975) * np.sqrt(blocks / (blocks - 1))
    low, high = np.quantile(wanted, [0.025, 0.975])
    assert (got.high - got.low) / wide == pytest.approx(high - low, rel=0.1)


@pytest.mark.parametrize(
    ("correlation", "phi", "horizon"), [(0.0, 0.0, 1), (0.0, 0.9, 4), (0.0, 0.9, 24), (0.2, 0.5, 4)]
)
def test_intervals_hold_the_truth_about_as_often_as_they_say(correlation, phi, horizon):
    rng, held = np.random.default_rng(2), 0
    truth = 6 / np.pi * np.arcsin(correlation / 2)  # Spearman's of a bivariate normal
    for _ in range(300):
        setup = Bootstrap(block_length(1500, horizon), num_draws=400)
        got = information_coefficient(*pair(rng, 1500, correlation, phi, horizon), setup)
        held += got.low <= truth <= got.high
    assert 0.91 <= held / 300 <= 0.985


def test_a_signal_turned_round_has_the_opposite_coefficient():
    x, y = pair(np.random.default_rng(3), 300, 0.3)
    there, back = (information_coefficient(z, y, Bootstrap(8)) for z in (x, -x))
    assert (back.mean, back.low, back.high) == pytest.approx((-there.mean, -there.high, -there.low), abs=0.02)


@pytest.mark.parametrize(("x", "y"), [([1.0, 1.0], [0.1, 0.2]), ([0.1, 0.2], [0.0, 0.0]), ([], [])])
def test_what_does_not_vary_has_no_rank(x, y):
    assert information_coefficient(np.array(x), np.array(y), Bootstrap(1)) is None


def test_too_few_blocks_leave_the_coefficient_without_an_interval():
    got = information_coefficient(*pair(np.random.default_rng(4), 30, 0.2), Bootstrap(10))
    assert (got.low, got.high) == (None, None)
    assert "30 origins" in got.reason
