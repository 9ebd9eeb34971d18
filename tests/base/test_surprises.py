"""Surprises of the base: held to loops, and nothing known before its label has ended."""

from __future__ import annotations

import numpy as np
import pytest

from polyscale.base.surprises import SURPRISES, surprises
from polyscale.market.timeframe import Timeframe

_HOUR = Timeframe.parse("1h")
_AHEAD = (1, 24)
_DAYS = ((1, 2, 3, 4, 5), (7,), (7, 14, 21, 28))


def _labels(seed: int = 0, rows: int = 24 * 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels, base = rng.normal(size=(rows, 2)), rng.normal(size=(rows, 2))
    labels[rng.random(labels.shape) < 0.1] = np.nan
    base[:60] = np.nan
    return labels, base


def test_as_in_loops() -> None:
    labels, base = _labels()
    found = surprises(labels, base, _AHEAD, _HOUR)
    off = np.clip(labels - base, -3, 3)
    assert found.shape == (len(labels), 2 * len(SURPRISES))
    for t in (0, 59, 100, 200, 500, len(labels) - 1):
        for h, ahead in enumerate(_AHEAD):
            want = [[off[t - 24 * d, h] for d in days if t >= 24 * d >= ahead] for days in _DAYS]
            want += [
                [off[s - ahead, h] for s in range(t - span + 1, t + 1) if s >= ahead] for span in (24, 168)
            ]
            means = [np.nanmean(w) if np.isfinite(w).any() else 0.0 for w in want]
            np.testing.assert_allclose(found[t, 5 * h : 5 * h + 5], means, atol=1e-12)


@pytest.mark.parametrize("at", [100, 500, 800])
def test_a_label_is_used_when_it_has_ended(at: int) -> None:
    labels, base = _labels()
    before = surprises(labels, base, _AHEAD, _HOUR)
    for h, ahead in enumerate(_AHEAD):
        wrecked = labels.copy()
        wrecked[at, h] = 100.0
        moved = np.flatnonzero((surprises(wrecked, base, _AHEAD, _HOUR) != before).any(axis=1))
        assert moved[0] == at + ahead


def test_nothing_known_is_no_surprise() -> None:
    labels, base = np.full((50, 1), np.nan), np.zeros((50, 1))
    assert (surprises(labels, base, (1,), _HOUR) == 0).all()


def test_same_bits_whatever_came_before() -> None:
    labels, base = _labels(rows=24 * 60)
    labels[5] = 80.0
    later = surprises(labels[400:], base[400:], _AHEAD, _HOUR)
    assert (surprises(labels, base, _AHEAD, _HOUR)[400 + 24 * 28 + 24 :] == later[24 * 28 + 24 :]).all()


def test_base_bars_of_a_week_have_no_time_of_day() -> None:
    labels, base = np.random.default_rng(0).normal(size=(2, 30, 1))
    found = surprises(labels, base, (1,), Timeframe.parse("1w"))
    assert np.isfinite(found).all()
    assert (found[:, :3] == 0).all()
