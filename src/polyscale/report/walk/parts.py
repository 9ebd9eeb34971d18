"""What the network's parts are for, and how long all fits took.

In: `WalkResults`. Out: two `Section`s, the first None where no part was taken away.
"""

from __future__ import annotations

import math

from polyscale.report import palette
from polyscale.report.baselines import Dot, dot_and_whisker
from polyscale.report.section import Picture, Section, Table
from polyscale.report.walk.results import NETWORK, WalkResults
from polyscale.report.walk.span import span_of
from polyscale.report.wording import number

_LEAD = (
    "QLIKE of the network without a part over that of the whole one, both of one seed: above 1 the part "
    "helps. One seed is one draw; what is within a per cent or so of 1 may be that."
)


def ablations_section(results: WalkResults) -> Section | None:
    """Ratios by variant and horizon, means over symbols."""
    if not results.ablations:
        return None
    dots = []
    for h, horizon in enumerate(results.horizons):
        for name in results.ablations:
            of_symbols = [
                each.ablations[name][h] for each in results.symbols.values() if name in each.ablations
            ]
            known = [ratio for ratio in of_symbols if ratio is not None and math.isfinite(ratio)]
            if known:
                dots.append(_dot(f"{horizon} ahead", name, known))
    many = " Lines go from the least to the greatest symbol." if len(results.symbols) > 1 else ""
    picture = Picture(
        "Is each part needed?",
        dot_and_whisker(dots, line=1),
        f"Right of the line the network is worse without it: the part helps.{many}",
        half=True,
        unit="QLIKE without it over the whole's, a ratio",
    )
    rows = [(name, *(number(ratio, 3) for ratio in ratios)) for name, ratios in results.ablations.items()]
    table = Table(
        "Without a part, mean over symbols" if len(results.symbols) > 1 else "Without a part",
        ("Variant", *(f"{horizon} ahead" for horizon in results.horizons)),
        rows,
        "A dash: the variant forecasts one horizon alone, and says nothing of the others.",
    )
    return Section("ablations", "Ablations", [_LEAD], [picture], [table])


def seconds_section(results: WalkResults) -> Section:
    """Time of all fits of one seed, by name."""
    rows = [(name, duration(seconds)) for name, seconds in results.seconds.items()]
    table = Table(
        "All folds, one seed",
        ("Forecast", "Time of its fits"),
        rows,
        f"Of the {NETWORK} and its variants the fits alone; of rivals with their forecasts.",
    )
    return Section("times", "Time of fits", [], [], [table])


def duration(seconds: float) -> str:
    """``< 0.1 s``, ``0.3 s``, ``42 s``, ``12.3 min``, ``2.1 h``."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return number(seconds / size, 1, unit=f" {unit}")
    if seconds < 0.1:
        return "< 0.1 s"
    return number(seconds, 0 if seconds >= 10 else 1, unit=" s")


def _dot(group: str, name: str, ratios: list[float]) -> Dot:
    span = span_of(ratios)
    return Dot(group, name, span, palette.NETWORK, number(span.mean, 3))
