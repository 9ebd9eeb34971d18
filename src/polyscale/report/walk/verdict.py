"""What may be claimed of a walk-forward, in words first, then every claim that was judged.

In: `WalkResults`. Out: sentences of the verdict; a `Section` with all claims, shown or not.
"""

from __future__ import annotations

from dataclasses import dataclass

from polyscale.evaluation.claims import Claim
from polyscale.evaluation.comparison import Difference
from polyscale.evaluation.scorecard import HorizonScore
from polyscale.report.section import Section, Table
from polyscale.report.walk.results import WalkResults
from polyscale.report.wording import ABSENT, bounds, joined, number, p_value, percent

_KINDS = ("volatility", "direction")


@dataclass(frozen=True)
class _Case:
    """A claim with what it is about."""

    kind: str
    symbol: str
    score: HorizonScore
    claim: Claim


def walk_verdict(results: WalkResults) -> list[tuple[str, str]]:
    """The whole in one sentence; then what is shown, and what a reader must know beside it."""
    cases = _cases(results)
    shown = [case for case in cases if case.claim.shown]
    said = [("", _whole(results, cases))]
    said += [
        (f"{case.kind.capitalize()}, {case.symbol}, {case.score.horizon}:", _edge(case)) for case in shown
    ]
    if not shown:
        said.append(("Claims:", f"no edge. None of the {len(cases)} claims holds; the table says why not."))
    return said + _hardest(results) + _held(results) + _tails(results)


def claims_section(results: WalkResults) -> Section:
    """Every claim that was judged, with its p-values and its widened interval."""
    cases = _cases(results)
    first = next(iter(results.symbols.values())).scorecard
    lead = (
        f"{len(cases)} claims are judged together: volatility and direction of {_breadth(results)}. One is "
        "shown where three things hold: "
        f"{first.min_independent} labels that do not overlap, a p-value by Holm of at most "
        f"{number(1 - first.confidence, 2)}, and an interval, widened to {_level(results)}, that lies below "
        "zero. Volatility must beat base, log-HAR and last value, as many of them as were asked; direction "
        "the better of always up and always down."
    )
    head = ("Claim", "Ahead", "Hardest to beat", f"Difference [{_level(results)}]", "p", "p by Holm", "Shown")
    rows, before = [], ""
    for case in cases:
        name = f"{case.kind} {case.symbol}"
        rows.append(("" if name == before else name, *_claim_row(case)))
        before = name
    caption = (
        "Volatility in per cent of the rival's QLIKE, direction in points of the share of misses; negative "
        "is better. p is one-sided, of the rival that is hardest to beat."
    )
    return Section("claims", "Claims", [lead], [], [Table("All claims judged together", head, rows, caption)])


def _cases(results: WalkResults) -> list[_Case]:
    claims = {claim.name: claim for claim in results.claims}
    return [
        _Case(kind, symbol, score, claims[name])
        for kind in _KINDS
        for symbol, each in results.symbols.items()
        for score in each.scorecard.horizons
        if (name := f"{kind} {symbol} {score.horizon}") in claims
    ]


def _whole(results: WalkResults, cases: list[_Case]) -> str:
    parts = []
    for kind in _KINDS:
        shown = [case.claim.shown for case in cases if case.kind == kind]
        among = f"an edge in {kind} in {sum(shown)} of {len(shown)} cases"
        parts.append(among if any(shown) else f"no edge in {kind}")
    return (
        f"The tests show {parts[0]} and {parts[1]}, over {_breadth(results)}. All {len(cases)} claims are "
        f"judged together: Holm's p-value and an interval at {_level(results)} must both say so."
    )


def _breadth(results: WalkResults) -> str:
    symbols, horizons = len(results.symbols), len(results.horizons)
    return f"{symbols} symbol{'s' * (symbols > 1)} and {horizons} horizon{'s' * (horizons > 1)}"


def _level(results: WalkResults) -> str:
    first = next(iter(results.symbols.values())).scorecard
    return percent(first.adjusted_confidence, 2)


def _edge(case: _Case) -> str:
    against = "; ".join(f"{name} {text}" for name, text, _ in _differences(case))
    what = "QLIKE against" if case.kind == "volatility" else "misses against"
    return (
        f"an edge is shown. {what} {against}; p {p_value(case.claim.p_value)}, by Holm "
        f"{p_value(case.claim.adjusted_p)}. {case.score.num_independent:,} independent labels."
    )


def _differences(case: _Case) -> list[tuple[str, str, float | None]]:
    """By rival: name, widened difference in words, p-value."""
    if case.kind == "volatility":
        baselines = case.score.volatility.baselines if case.score.volatility else ()
        return [
            (b.name, _relative(b.difference, b.qlike.mean), b.difference.test.p_one_sided) for b in baselines
        ]
    if case.score.direction is None:
        return []
    less = case.score.direction.misses_less_constant
    always = "up" if case.score.direction.share_up >= 0.5 else "down"
    text = f"{number(100 * less.adjusted.mean, 1, signed=True)} points "
    return [
        (f"always {always}", text + bounds(less.adjusted, 1, factor=100, signed=True), less.test.p_one_sided)
    ]


def _relative(found: Difference, scale: float) -> str:
    factor = 100 / scale if scale > 0 else 0.0
    mean = number(factor * found.adjusted.mean, 1, unit=" %", signed=True)
    return f"{mean} {bounds(found.adjusted, 1, factor=factor, signed=True)}"


def _claim_row(case: _Case) -> tuple[str, ...]:
    rivals = sorted(_differences(case), key=lambda each: 2.0 if each[2] is None else each[2])
    name, text, _ = rivals[-1] if rivals else (ABSENT, ABSENT, None)
    return (
        str(case.score.horizon),
        name,
        text,
        p_value(case.claim.p_value),
        p_value(case.claim.adjusted_p),
        "yes" if case.claim.shown else f"no: {case.claim.reason}",
    )


def _hardest(results: WalkResults) -> list[tuple[str, str]]:
    """Which rival came nearest, or was better, by the mean ratio of QLIKE."""
    parts = []
    for h, horizon in enumerate(results.horizons):
        means = {
            name: sum(r) / len(r) for name in results.rivals() if (r := results.ratios(h, name, "qlike"))
        }
        if means:
            name = max(means, key=lambda each: means[each])
            parts.append(f"at {horizon} {name} ({number(means[name], 3)})")
    if not parts:
        return []
    many = ", mean over symbols" if len(results.symbols) > 1 else ""
    ruling = {
        b.name: None
        for each in results.symbols.values()
        for score in each.scorecard.horizons
        for b in (score.volatility.baselines if score.volatility else ())
    }
    beside = f"; claims on volatility are made against {joined(list(ruling))} alone" if ruling else ""
    return [
        (
            "Hardest rival:",
            f"{joined(parts)}: QLIKE of the network over the rival's{many}; above 1 the rival is better. "
            f"{len(results.rivals())} rivals were asked{beside}.",
        )
    ]


def _held(results: WalkResults) -> list[tuple[str, str]]:
    shares: dict[float, list[float]] = {}
    for each in results.symbols.values():
        for score in each.scorecard.horizons:
            for found in score.quantiles.coverage if score.quantiles else ():
                shares.setdefault(found.nominal, []).append(found.observed.mean)
    parts = [
        f"the central {percent(level, 0)} interval held {number(100 * min(found), 1)} to "
        f"{percent(max(found))}"
        for level, found in shares.items()
    ]
    if not parts:
        return []
    return [("Calibration:", f"{joined(parts)} of the returns, from the least to the most of all cases.")]


def _tails(results: WalkResults) -> list[tuple[str, str]]:
    judged = [tail for each in results.symbols.values() for tail in each.tail_risk if tail is not None]
    if not judged:
        return []
    refused = sum("Kupiec" in tail.refused for tail in judged)
    exceptions, expected = sum(t.num_exceptions for t in judged), sum(t.num_origins * t.level for t in judged)
    return [
        (
            "Tail risk:",
            f"the return fell to value at risk at {100 * judged[0].level:g} % or below {exceptions:,} times, "
            f"where {number(expected, 1)} were to be expected; Kupiec's test refuses the rate at 5 % in "
            f"{refused} of {len(judged)} cases.",
        )
    ]
