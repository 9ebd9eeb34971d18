"""Whether the network kept its word over all folds, and how far validation believed it.

In: `WalkResults`. Out: a `Section` over all symbols; pictures of one symbol.
"""

from __future__ import annotations

from collections.abc import Sequence

from polyscale.evaluation.bootstrap import Interval
from polyscale.forecast.slopes import MIN_LABELS
from polyscale.report.calibration import (
    Line,
    quantile_line,
    quantile_picture,
    reliability_line,
    reliability_picture,
)
from polyscale.report.section import Picture, Section, Table
from polyscale.report.walk.results import FoldSlopes, SymbolResults, WalkResults
from polyscale.report.wording import ABSENT, interval, number, percent

_LEAD = (
    "A calibrated forecast is right as often as it says: a tenth of the returns lie below its 10 % quantile, "
    "and of the hours to which it gave 55 % for up, 55 % went up. Quantiles move with their own misses from "
    "fold to fold; the slopes are a frozen fit on the validation of each fold."
)


def coverage_section(results: WalkResults) -> Section:
    """Quantiles and probabilities of up, means over symbols; central intervals by symbol; slopes by fold."""
    each = list(results.symbols.values())
    scores = [[item.score(h) for item in each] for h in range(len(results.horizons))]
    quantiles = _means([[quantile_line(score) for score in row if score.quantiles] for row in scores])
    directed = _means([[line for score in row if (line := reliability_line(score))] for row in scores])
    pictures = _pictures(quantiles, directed)
    lead = (
        [_LEAD]
        if len(each) == 1
        else [_LEAD, "Pictures are means over symbols; each symbol has its own below."]
    )
    return Section("calibration", "Calibration", lead, pictures, [_coverage(results), _slopes(results)])


def symbol_pictures(each: SymbolResults) -> list[Picture]:
    """Quantiles and probabilities of up of one symbol."""
    scores = each.scorecard.horizons
    quantiles = [quantile_line(score) for score in scores if score.quantiles]
    directed = [line for score in scores if (line := reliability_line(score))]
    return _pictures(quantiles, directed)


def _pictures(quantiles: Sequence[Line], directed: Sequence[Line]) -> list[Picture]:
    """Those that have something to show."""
    kinds = ((quantiles, quantile_picture), (directed, reliability_picture))
    return [picture(lines) for lines, picture in kinds if lines]


def _means(lines: list[list[Line]]) -> list[Line]:
    """By horizon, the mean line of symbols whose lines have as many dots as the first one's."""
    found = []
    for row in lines:
        alike = [line for line in row if len(line.said) == len(row[0].said)]
        if alike and alike[0].said:
            said, came = (
                [sum(dot) / len(alike) for dot in zip(*values, strict=True)]
                for values in ([line.said for line in alike], [line.came for line in alike])
            )
            found.append(Line(alike[0].name, said, came))
    return found


def _coverage(results: WalkResults) -> Table:
    """Shares held by the central intervals, a column each."""
    nominal = sorted(
        {
            found.nominal
            for each in results.symbols.values()
            for score in each.scorecard.horizons
            for found in (score.quantiles.coverage if score.quantiles else ())
        },
        reverse=True,
    )
    rows = []
    for symbol, each in results.symbols.items():
        for h, horizon in enumerate(results.horizons):
            quantiles = each.score(h).quantiles
            held = {c.nominal: c.observed for c in (quantiles.coverage if quantiles else ())}
            rows.append(
                (symbol if h == 0 else "", horizon, *(_held(held.get(level), level) for level in nominal))
            )
    confidence = percent(next(iter(results.symbols.values())).scorecard.confidence, 0)
    return Table(
        f"Returns held by the central intervals (% [{confidence}])",
        ("Symbol", "Ahead", *(f"Should hold {percent(level, 0)}" for level in nominal)),
        rows,
        "A star: the interval does not hold what the forecast promised.",
    )


def _held(found: Interval | None, nominal: float) -> str:
    if found is None:
        return ABSENT
    off = found.below(nominal) or found.above(nominal)
    return interval(found, 1, factor=100.0) + (" *" if off else "")


def _slopes(results: WalkResults) -> Table:
    """Symbols that share their slopes, as those fitted together do, share a row."""
    alike: dict[tuple[FoldSlopes, ...], list[str]] = {}
    for symbol, each in results.symbols.items():
        alike.setdefault(each.slopes, []).append(symbol)
    rows = []
    for slopes, symbols in alike.items():
        who = "all symbols" if len(symbols) == len(results.symbols) > 1 else ", ".join(symbols)
        for i, fold in enumerate(slopes):
            cells = [number(value, 2) for value in (*fold.direction, *fold.shape)]
            rows.append((who if i == 0 else "", fold.fold, *cells))
    head = [f"{kind} {horizon}" for kind in ("Direction", "Shape") for horizon in results.horizons]
    return Table(
        "Slopes by fold",
        ("Symbols", "First day tested", *head),
        rows,
        "Direction: 1 takes the network's probability of up as it is, 0 makes it one half. Shape: 0 leaves "
        "the base's shape of the return's distribution; half of the best slope is used, so 0.5 is the most. "
        f"A horizon of fewer than {MIN_LABELS} labels of validation that do not overlap has 0.",
    )
