"""The folds of a walk-forward: where training, validation and test of each end.

In: the settings. Out: one `Fold` per fit, in order of time. The split of a fold is that of a single run
(`polyscale.dataset.split`): the longest horizon is purged before each end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from polyscale.dataset.panel import Panel
from polyscale.dataset.settings import Refit, WalkForwardSettings
from polyscale.dataset.split import Boundaries, Split, split
from polyscale.market.instant import ms_of
from polyscale.market.timeframe import DAY_MS


@dataclass(frozen=True)
class Fold:
    """One fit and the test that it is used in."""

    name: str  # the first day tested
    train_start: int | None  # epoch ms; None: all that there is
    ends: Boundaries

    def split(self, panel: Panel) -> Split:
        """Which origins of a panel belong to which part."""
        parts = split(panel, self.ends)
        if self.train_start is None:
            return parts
        return replace(parts, train=parts.train & (panel.time_ms > self.train_start))


def folds(settings: WalkForwardSettings) -> list[Fold]:
    """Cut the tested days into tests of one fit each; the last may be shorter."""
    beyond = settings.last + timedelta(days=1)
    firsts = [settings.first]
    while (following := _next(firsts[-1], settings.refit, beyond)) < beyond:
        firsts.append(following)
    return [_fold(settings, first, end) for first, end in zip(firsts, [*firsts[1:], beyond], strict=True)]


def _fold(settings: WalkForwardSettings, first: date, beyond: date) -> Fold:
    test_start = _midnight(first)
    train_end = test_start - settings.validate_days * DAY_MS
    start = None if settings.window_days is None else train_end - settings.window_days * DAY_MS
    return Fold(first.isoformat(), start, Boundaries(train_end, test_start, _midnight(beyond)))


def _next(day: date, refit: Refit, never: date) -> date:
    """The first day of the next test: a week on, or the first of a month or quarter."""
    if refit is Refit.WEEK:
        return day + timedelta(days=7)
    if refit is Refit.NEVER:
        return never
    months = 1 if refit is Refit.MONTH else 3 - (day.month - 1) % 3
    month = day.month - 1 + months
    return date(day.year + month // 12, month % 12 + 1, 1)


def _midnight(day: date) -> int:
    return ms_of(datetime(day.year, day.month, day.day, tzinfo=UTC))
