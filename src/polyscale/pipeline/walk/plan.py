"""What a walk-forward has to do: fold x cohort x seed.

In: config and symbols. Out: tasks, each named by where its results are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from polyscale.dataset.folds import Fold, folds
from polyscale.dataset.settings import WalkForwardSettings
from polyscale.evaluation.baselines.registry import SEEDED
from polyscale.pipeline.load import SymbolBars


@dataclass(frozen=True)
class Cohort:
    """Who is learned from and who is tested, by position among the symbols."""

    name: str
    learned: tuple[int, ...]
    tested: tuple[int, ...]

    @property
    def members(self) -> tuple[int, ...]:
        """All whose panels are needed."""
        return tuple(sorted({*self.learned, *self.tested}))


@dataclass(frozen=True)
class Task:
    """One fit of the network, as it is configured or as a variant of that, or of a baseline."""

    kind: str  # NETWORK, ABLATION or BASELINE
    name: str  # which of its kind
    fold: Fold
    cohort: Cohort
    seed: int

    @property
    def path(self) -> str:
        """Its place in the evaluation's folder."""
        return f"{self.kind}/{self.name}/{self.fold.name}/{self.cohort.name}/seed-{self.seed}"


NETWORK: Final = "network"
ABLATION: Final = "ablation"
BASELINE: Final = "baseline"
FULL: Final = "full"  # the network as it is configured


def plan(
    settings: WalkForwardSettings,
    symbols: Sequence[SymbolBars],
    first_seed: int,
    baselines: Sequence[str],
    variants: Sequence[str],
) -> list[Task]:
    """The network and the rivals that draw at random with every seed, all else with the first.

    Folds go in order of time. The network's mean over seeds is held against the same mean of such a rival.
    """
    seeds = range(first_seed, first_seed + settings.seeds)
    named = [(NETWORK, FULL, seed) for seed in seeds]
    named += [(ABLATION, variant, first_seed) for variant in variants]
    named += [
        (BASELINE, name, seed) for name in baselines for seed in (seeds if name in SEEDED else seeds[:1])
    ]
    places = [(fold, cohort) for fold in folds(settings) for cohort in cohorts(settings, symbols)]
    return [Task(kind, name, fold, cohort, seed) for fold, cohort in places for kind, name, seed in named]


def cohorts(settings: WalkForwardSettings, symbols: Sequence[SymbolBars]) -> list[Cohort]:
    """All together, each alone, or all but one; lessons are learned from wherever their symbol is not out."""
    tested = [i for i, item in enumerate(symbols) if not item.lesson]
    if settings.leave_out:
        names = settings.leave_out
        return [
            Cohort(
                f"without-{name}",
                tuple(i for i, item in enumerate(symbols) if item.market.symbol != name),
                tuple(i for i in tested if symbols[i].market.symbol == name),
            )
            for name in names
        ]
    if settings.pooled:
        return [Cohort("all", tuple(range(len(symbols))), tuple(tested))]
    return [
        Cohort(
            symbols[i].market.symbol,
            tuple(j for j, item in enumerate(symbols) if item.market.symbol == symbols[i].market.symbol),
            (i,),
        )
        for i in tested
    ]
