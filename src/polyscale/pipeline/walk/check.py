"""Whether the bars are enough for every fit of a walk-forward: asked before the first of them.

In: config and bars. Out: nothing, or the error in which a later fit would end, in words of walk_forward.

Bars are counted by their close times, which costs nothing. Only where so few come before the end of training
that warm-up and holes decide, panels are computed and their origins counted.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyscale.config.run_config import RunConfig
from polyscale.dataset.folds import Fold, folds
from polyscale.dataset.panel import first_forecast_bars
from polyscale.market.errors import HistoryError
from polyscale.market.instant import shown
from polyscale.market.timeframe import DAY_MS
from polyscale.pipeline.load import SymbolBars
from polyscale.pipeline.walk.plan import Cohort, cohorts
from polyscale.pipeline.walk.task import panels_of
from polyscale.training.settings import MIN_ORIGINS

Ints = NDArray[np.int64]
logger = logging.getLogger(__name__)


def check_folds(config: RunConfig, symbols: list[SymbolBars]) -> None:
    """Raise `HistoryError` if a fold of a cohort cannot be tested or fitted, with the fold and the cohort."""
    walk = config.walk_forward
    assert walk is not None
    times = [item.bars["close_time"].dt.epoch("ms").to_numpy() for item in symbols]
    found = [
        _Place(config, symbols, times, fold, cohort)
        for cohort in cohorts(walk, symbols)
        for fold in folds(walk)
    ]
    for place in found:
        _check_test(place)
    for place in found:
        _check_learning(place)
    _warn_of_a_short_end(found[-1])


@dataclass(frozen=True, eq=False)
class _Place:
    """One fold of one cohort."""

    config: RunConfig
    symbols: list[SymbolBars]
    times: list[Ints]  # close times of every symbol's base bars
    fold: Fold
    cohort: Cohort

    @property
    def judged(self) -> tuple[int, ...]:
        """Who is learned from and validates: no lesson does."""
        return tuple(i for i in self.cohort.learned if not self.symbols[i].lesson)

    def count(self, chosen: Sequence[int], after: int | None, until: int) -> dict[int, int]:
        """Base bars of each of the chosen that close within (after, until]."""
        begin = -1 if after is None else after
        return {i: int(((self.times[i] > begin) & (self.times[i] <= until)).sum()) for i in chosen}

    def named(self, chosen: Sequence[int]) -> str:
        """Symbols with the span of their bars."""
        spans = (
            f"{self.symbols[i].symbol} {shown(self.times[i][0])} .. {shown(self.times[i][-1])}"
            for i in chosen
        )
        return "; ".join(spans) or "nobody"

    def __str__(self) -> str:
        return f"walk_forward, fold {self.fold.name}, cohort {self.cohort.name}"


def _check_test(place: _Place) -> None:
    ends = place.fold.ends
    if any(place.count(place.cohort.tested, ends.validate_end, ends.test_end).values()):
        return
    raise HistoryError(
        f"{place}: its test, {shown(ends.validate_end)} to {shown(ends.test_end)}, needs at least 1 bar of a "
        f"tested symbol, found 0; there are bars of {place.named(place.cohort.tested)}; set "
        "walk_forward.first and walk_forward.last within them, or import more bars"
    )


def _check_learning(place: _Place) -> None:
    """Training needs as many origins as every learner does, validation one; both with their longest label."""
    aside = 2 * first_forecast_bars(place.config.data)  # of a warm-up, and as many again for holes
    short = [i for i in place.cohort.members if len(place.times[i]) <= aside]
    if short:
        panels_of(place.config, place.symbols, short)  # one without any origin has an error of its own
    if _surely_enough(place, aside):
        return
    ends, parts = place.fold.ends, _parts(place)
    if parts.train < MIN_ORIGINS:
        days = first_forecast_bars(place.config.data) * place.config.data.base.ms / DAY_MS
        raise HistoryError(
            f"{place}: training until {shown(ends.train_end)} needs >= {MIN_ORIGINS} origins with labels, "
            f"found {parts.train}; there are bars of {place.named(place.cohort.learned)}, and a first "
            f"forecast takes about {days:.0f} days of them; set walk_forward.first later, import more "
            "history, lower walk_forward.validate_days or data.base_forecast.min_days, or take the symbol "
            "out of the config"
        )
    if parts.validate < 1:
        raise HistoryError(
            f"{place}: validation, {shown(ends.train_end)} to {shown(ends.validate_end)}, needs at least 1 "
            f"origin with labels, found 0; it is done on {place.named(place.judged)}; raise "
            "walk_forward.validate_days, set walk_forward.first within the bars, or leave out fewer symbols"
        )


def _surely_enough(place: _Place, aside: int) -> bool:
    """Whether close times alone say so, with so many bars of each symbol left aside."""
    ends, horizon = place.fold.ends, place.config.data.horizons[-1].ms
    last = ends.train_end - horizon
    before = place.count(place.cohort.learned, None, last)
    window = place.count(place.cohort.learned, place.fold.train_start, last)
    train = sum(min(window[i], max(0, num - aside)) for i, num in before.items())
    validate = place.count(place.judged, ends.train_end, ends.validate_end - horizon)
    return train >= MIN_ORIGINS and any(num and before[i] > aside for i, num in validate.items())


@dataclass(frozen=True)
class _Parts:
    """Numbers of origins."""

    train: int
    validate: int


def _parts(place: _Place) -> _Parts:
    """Count the origins of a cohort's panels, which are kept for the tasks of this process."""
    panels = panels_of(place.config, place.symbols, place.cohort.members)
    splits = dict(zip(place.cohort.members, (place.fold.split(panel) for panel in panels), strict=True))
    return _Parts(
        sum(int(splits[i].train.sum()) for i in place.cohort.learned),
        sum(int(splits[i].validate.sum()) for i in place.judged),
    )


def _warn_of_a_short_end(place: _Place) -> None:
    """The last test may end before walk_forward.last does; it is shorter then, and says so."""
    tested = [i for i, item in enumerate(place.symbols) if not item.lesson]
    end = max(int(place.times[i][-1]) for i in tested)
    if place.fold.ends.test_end - end > DAY_MS:
        logger.warning(
            "walk_forward.last ends at %s, the bars at %s: the last test is shorter",
            shown(place.fold.ends.test_end),
            shown(end),
        )
