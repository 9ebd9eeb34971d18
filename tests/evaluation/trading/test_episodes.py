"""What is kept and what is moved when episodes change places."""

from collections import Counter
from itertools import groupby, pairwise

import numpy as np
import pytest

from polyscale.evaluation.trading.episodes import episodes_of, has_one_order, shuffled
from polyscale.market.position import Positions
from tests.evaluation.trading.market import coin_flips


def positions(targets, **levels):
    times = np.datetime64("2025-01-01T01:00", "ms") + np.arange(len(targets)) * np.timedelta64(1, "h")
    return Positions(times, np.array(targets, dtype=np.float64), **levels)


def cut(targets, close=None, **levels):
    close = np.ones(len(targets)) if close is None else close
    return episodes_of(positions(targets, **levels), close)


def runs(targets):
    return [(value, len(list(rows))) for value, rows in groupby(targets)]


def changes(targets):
    values = [value for value, _ in runs(targets)]
    return Counter(pairwise(values))


def draws(episodes, num):
    return [shuffled(episodes, np.random.default_rng(seed)).target.tolist() for seed in range(num)]


@pytest.mark.parametrize("targets", [(-1.0, 0.0, 1.0), (-1.0, 1.0), (0.0, 0.2, 0.3, 0.4), (1.0, 0.0)])
def test_number_length_side_and_size_of_episodes_are_kept(targets):
    wanted = coin_flips(400, np.random.default_rng(3), targets=targets).tolist()
    episodes = cut(wanted)
    for got in draws(episodes, 30):
        assert Counter(runs(got)) == Counter(runs(wanted))
        assert got != wanted


@pytest.mark.parametrize("targets", [(-1.0, 0.0, 1.0), (-1.0, 1.0), (0.0, 0.2, 0.3, 0.4)])
def test_the_changes_of_the_target_are_kept_and_so_are_the_orders(targets):
    """Between two flat ends: a stay at an end has one change less, and may move to the middle."""
    wanted = [0.0, *coin_flips(400, np.random.default_rng(3), targets=targets).tolist(), 0.0]
    for got in draws(cut(wanted), 30):
        assert changes(got) == changes(wanted)


def test_every_order_is_equally_likely():
    """Stays of 1, 2 and 3 rows and flat episodes of 1, 1, 2 and 3 rows: 6 times 12 orders."""
    targets = [0, 1, 0, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0]
    counts = Counter(map(tuple, draws(cut(targets), 72 * 200)))
    assert len(counts) == 72
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 71 + 4 * np.sqrt(2 * 71)
    assert tuple(map(float, targets)) in counts


def test_a_stay_moves_as_a_whole():
    """Long, turned to short, closed: the short episode always follows the long one."""
    targets = [0, 0, 1, 1, -1, 0, 0.5, 0, 0, 0, 0.5, 0.5, 0.5, 0]
    seen = set()
    for got in draws(cut(targets), 200):
        values = [value for value, _ in runs(got)]
        assert values[values.index(1) + 1] == -1
        seen.add(tuple(values))
    assert len(seen) == 3


def test_levels_go_along_in_proportion_to_the_close_where_an_episode_begins():
    close = np.array([100.0, 110.0, 120.0, 130.0, 140.0, 150.0, 160.0])
    targets = [0, 1, 1, 0, 0, 1, 0]
    stop = np.array([np.nan, 99.0, 104.5, np.nan, np.nan, 75.0, np.nan])
    episodes = cut(targets, close, stop=stop)
    for seed in range(50):
        got = shuffled(episodes, np.random.default_rng(seed))
        starts = np.flatnonzero(np.diff(got.target, prepend=0) > 0)
        for start in starts:
            long = got.target[start : start + 2].sum() == 2
            wanted = [0.9, 0.95] if long else [0.5]
            np.testing.assert_allclose(got.stop[start : start + len(wanted)] / close[start], wanted)
        assert np.isnan(got.stop[got.target == 0]).all()
        assert np.isnan(got.limit).all()


def test_without_levels_none_are_made():
    assert shuffled(cut([0, 1, 0, 0]), np.random.default_rng(0)).stop is None


@pytest.mark.parametrize(
    ("targets", "wanted"),
    [
        ([1, 1, 1], True),
        ([0, 1, 1], True),
        ([0, 1, 0], True),
        ([0, 1, 0, 0], False),
        ([0, 1, 0, -1, 0], False),
        ([1, -1, 1, -1], True),
        ([1, -1, -1, 1, -1], False),
    ],
)
def test_it_is_known_whether_there_is_another_order(targets, wanted):
    episodes = cut(targets)
    assert has_one_order(episodes) == wanted
    assert (len(set(map(tuple, draws(episodes, 40)))) == 1) == wanted
