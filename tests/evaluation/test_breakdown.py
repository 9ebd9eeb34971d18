import numpy as np
import pandas as pd
import pytest
from scipy import signal

from polyscale.evaluation.bootstrap import Bootstrap, block_length, mean_interval
from polyscale.evaluation.breakdown import by_hour, by_month, by_name, by_regime
from polyscale.market.errors import DataError

SETUP = Bootstrap(26, num_draws=500)


def market(num=2160, seed=0):
    """Losses of 90 days of hours, dependent from hour to hour."""
    rng = np.random.default_rng(seed)
    noise = signal.lfilter([1.0], [1.0, -0.6], rng.standard_normal((2, num)), axis=1)
    times = np.datetime64("2026-01-01T00:00", "ms") + np.arange(num) * np.timedelta64(1, "h")
    return np.exp(noise[0]), np.exp(noise[1]), times


@pytest.mark.parametrize(("part", "form"), [(by_month, "%Y-%m"), (by_hour, "%H")])
def test_counts_and_means_are_those_of_pandas(part, form):
    loss, baseline, times = market()
    frame = pd.DataFrame({"loss": loss, "baseline": baseline})
    groups = frame.groupby(pd.to_datetime(times).strftime(form))
    got = part(loss, baseline, times, SETUP)
    assert [p.name for p in got] == list(groups.groups)
    assert [p.num_origins for p in got] == groups.size().tolist()
    np.testing.assert_allclose([p.mean for p in got], groups["loss"].mean())
    np.testing.assert_allclose([p.baseline_mean for p in got], groups["baseline"].mean())
    for p in got:
        assert p.ratio == pytest.approx(p.mean / p.baseline_mean)
        assert p.difference.low < p.mean - p.baseline_mean < p.difference.high


def test_regimes_are_thirds_from_calm_to_wild():
    loss, baseline, _ = market()
    volatility = np.random.default_rng(1).permutation(2160).astype(float)
    got = by_regime(loss, baseline, volatility, SETUP)
    assert [(p.name, p.num_origins) for p in got] == [("calm", 720), ("middle", 720), ("wild", 720)]
    assert got[2].mean == pytest.approx(loss[volatility >= 1440].mean())


def test_a_part_that_is_all_has_the_interval_of_the_mean():
    loss, baseline, _ = market()
    (got,) = by_name(loss, baseline, np.full(2160, "all"), SETUP)
    wanted = mean_interval(loss - baseline, SETUP)
    assert (got.difference.mean, got.difference.low, got.difference.high) == pytest.approx(
        (wanted.mean, wanted.low, wanted.high)
    )


def parts_of(kind, seed):
    loss, baseline, times = market(seed=seed)
    setup = Bootstrap(block_length(2160, 1), num_draws=300, seed=seed)
    if kind == "regime":
        rng = np.random.default_rng(10_000 + seed)
        slow = np.abs(signal.lfilter([1.0], [1.0, -0.98], rng.standard_normal(2160)))
        return by_regime(loss, baseline, slow, setup)
    return (
        by_month(loss, baseline, times, setup) if kind == "month" else by_hour(loss, baseline, times, setup)
    )


@pytest.mark.parametrize(("kind", "num"), [("month", 150), ("hour", 40), ("regime", 150)])
def test_intervals_of_parts_hold_the_truth_about_as_often_as_they_say(kind, num):
    """Both losses have one distribution, so every part's difference is zero in truth."""
    found = [part.difference for seed in range(num) for part in parts_of(kind, seed)]
    assert 0.90 <= np.mean([d.low <= 0.0 <= d.high for d in found]) <= 0.985


def test_a_part_that_is_better_is_found_where_it_is():
    loss, baseline, times = market()
    night = times.astype("datetime64[h]").astype(int) % 24 < 6
    parts = by_name(loss, baseline + 2.0 * night, np.where(night, "night", "day"), SETUP)
    assert [p.name for p in parts] == ["day", "night"]
    assert not parts[0].difference.below(0.0)
    assert parts[1].difference.below(0.0)


def test_a_part_in_too_few_blocks_has_no_interval_but_a_reason():
    loss, baseline, times = market(761)
    january, february = by_month(loss, baseline, times, SETUP)
    assert january.difference.low is not None
    assert february.num_origins == 17
    assert february.difference.low is None
    assert "fewer than 4 blocks of 26" in february.difference.reason


def test_losses_of_zero_have_no_ratio():
    got = by_name(np.ones(200), np.zeros(200), np.full(200, "a"), SETUP)
    assert got[0].ratio is None


def test_what_does_not_fit_is_refused():
    loss, baseline, times = market(100)
    with pytest.raises(DataError, match="got 100, 100 and 99"):
        by_name(loss, baseline, np.full(99, "a"), SETUP)
    with pytest.raises(DataError, match="finite losses"):
        by_month(loss, np.full(100, np.nan), times, SETUP)
    with pytest.raises(DataError, match="got 1 that"):
        by_regime(loss, baseline, np.r_[np.nan, np.ones(99)], SETUP)
