"""Whether losses beyond the lowest quantile came as often, as scattered and as large as was said.

In: `WalkResults`. Out: a `Section`.
"""

from __future__ import annotations

import math

from polyscale.evaluation.bootstrap import Interval
from polyscale.evaluation.tail_risk import SIZE, TailRisk
from polyscale.report import palette
from polyscale.report.baselines import Dot, dot_and_whisker
from polyscale.report.section import Picture, Section, Table
from polyscale.report.walk.results import WalkResults
from polyscale.report.wording import ABSENT, interval, joined, number, p_value, percent

_LEAD = (
    "Value at risk is the lowest quantile; a return at or below it is an exception. Labels here do not "
    "overlap. Kupiec's test asks whether exceptions came as often as they should, Christoffersen's whether "
    "one makes the next likelier, and both at once; expected shortfall is what a return beyond is on average."
)
_FEW = 4


def tail_risk_section(results: WalkResults) -> Section:
    """Exceptions and their tests by symbol and horizon, and the shortfall beyond."""
    cases = [
        (symbol, h, tail) for symbol, each in results.symbols.items() for h, tail in enumerate(each.tail_risk)
    ]
    judged = [(symbol, h, tail) for symbol, h, tail in cases if tail is not None]
    if not judged:
        return Section(
            "tail-risk", "Tail risk", ["No value at risk could be judged: no label, or none below zero."]
        )
    level = f"{100 * judged[0][2].level:g} %"
    by_horizon = sorted(judged, key=lambda case: case[1])
    dots = [_dot(f"{results.horizons[h]} ahead", symbol, tail) for symbol, h, tail in by_horizon]
    picture = Picture(
        "Did losses beyond value at risk come as often as said?",
        dot_and_whisker(dots, line=1),
        f"Times that the return fell to value at risk at {level} or below, over the times it should have; at "
        f"the line both are the same. Red: Kupiec's test refuses at {percent(SIZE, 0)}. At the right, "
        f"both counts. It refuses in {sum('Kupiec' in tail.refused for _, _, tail in judged)} of "
        f"{len(judged)} cases.",
        half=True,
        unit="exceptions over expected",
    )
    return Section(
        "tail-risk", "Tail risk", [_LEAD], [picture], [_exceptions(results, cases), _beyond(results, cases)]
    )


_Case = tuple[str, int, TailRisk | None]


def _dot(group: str, symbol: str, tail: TailRisk) -> Dot:
    expected = tail.num_origins * tail.level
    colour = palette.BAD if "Kupiec" in tail.refused else palette.NETWORK
    ratio = Interval(tail.num_exceptions / expected, None, None, math.nan)
    return Dot(group, symbol, ratio, colour, f"{tail.num_exceptions} / {expected:.1f}")


def _exceptions(results: WalkResults, cases: list[_Case]) -> Table:
    rows: list[tuple[str, ...]] = []
    reasons: dict[str, list[str]] = {}
    for symbol, h, tail in cases:
        name = (symbol if h == 0 else "", results.horizons[h])
        if tail is None:
            rows.append((*name, *[ABSENT] * 9))
            _note(reasons, "no value at risk below zero, or no label", symbol, results.horizons[h])
            continue
        power = [number(100 * each.power, 0) for each in tail.kupiec_power]
        rows.append(
            (
                *name,
                number(tail.num_origins, 0),
                number(tail.num_exceptions, 0),
                number(tail.num_origins * tail.level, 1),
                percent(tail.share, 2),
                _p(tail.kupiec.p_value),
                " / ".join(power),
                _before(tail),
                _p(tail.independence.p_value),
                _p(tail.conditional_coverage.p_value),
            )
        )
        _note(reasons, tail.independence.reason, symbol, results.horizons[h])
    first = next(tail for _, _, tail in cases if tail is not None)
    rates = " / ".join(f"{100 * each.true_rate:g} %" for each in first.kupiec_power)
    head = (
        "Symbol", "Ahead", "Origins", "Exceptions", "Expected", "Share", "Kupiec p", "Its power, %",
        "Before steps (p)", "Independence p", "Both p",
    )  # fmt: skip
    caption = (
        f"Power is the chance that Kupiec's test at 5 % refuses independent exceptions whose true rate is "
        f"{rates}; where it is low, not being refused says little. Quantiles that step with their own misses "
        "have the rate nearly by construction: before steps are the exceptions of those that had not, with "
        f"their Kupiec p. A star: the test refuses at 5 %.{_notes(reasons)}"
    )
    return Table(f"Value at risk at {100 * first.level:g} %", head, rows, caption)


def _beyond(results: WalkResults, cases: list[_Case]) -> Table:
    rows: list[tuple[str, ...]] = []
    reasons: dict[str, list[str]] = {}
    for symbol, h, tail in cases:
        name = (symbol if h == 0 else "", results.horizons[h])
        if tail is None or tail.shortfall is None:
            rows.append((*name, *[ABSENT] * 5))
            _note(reasons, "no shortfall was forecast", symbol, results.horizons[h])
            continue
        test = tail.shortfall.test
        rows.append(
            (
                *name,
                number(test.num_exceedances, 0),
                percent(test.mean_residual, signed=True),
                _p(test.p_two_sided),
                _p(test.p_one_sided),
                interval(tail.shortfall.loss, 3),
            )
        )
        _note(
            reasons, test.reason.lstrip("0123456789 "), symbol, results.horizons[h]
        )  # the row has the count
    head = ("Symbol", "Ahead", "Exceptions", "Mean residual", "p", "p of worse", "Joint loss")
    caption = (
        "The residual is how far a return beyond was from the shortfall forecast for it, as a share of that: "
        "negative, losses were worse than said (McNeil and Frey). The joint loss of value at risk and "
        f"shortfall is that of Fissler and Ziegel; smaller is better. A star: the test refuses at 5 %."
        f"{_notes(reasons)}"
    )
    return Table("Expected shortfall", head, rows, caption)


def _before(tail: TailRisk) -> str:
    found = tail.before_steps
    return ABSENT if found is None else f"{found.num} ({_p(found.kupiec.p_value)})"


def _p(value: float | None) -> str:
    return p_value(value) + (" *" if value is not None and value < SIZE else "")


def _note(reasons: dict[str, list[str]], reason: str, symbol: str, horizon: str) -> None:
    if reason:
        reasons.setdefault(reason, []).append(f"{symbol} {horizon}")


def _notes(reasons: dict[str, list[str]]) -> str:
    """Why there is a dash, and where; beyond a few places their number will do."""
    told = {
        reason: joined(places) if len(places) <= _FEW else f"in {len(places)} cases"
        for reason, places in reasons.items()
    }
    return "".join(f" A dash, {where}: {reason}." for reason, where in told.items())
