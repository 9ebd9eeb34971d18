"""Whether up and down were told apart, and what that would be worth before costs.

In: `WalkResults`. Out: a `Section`. Nothing is said to be known whose widened interval holds no skill.
"""

from __future__ import annotations

from polyscale.evaluation.bootstrap import Interval
from polyscale.evaluation.direction import DirectionScore
from polyscale.report import palette
from polyscale.report.baselines import Dot, dot_and_whisker
from polyscale.report.section import Picture, Section, Table
from polyscale.report.walk.results import WalkResults
from polyscale.report.wording import ABSENT, bounds, interval, joined, number, percent

_LEAD = (
    "Right is how often the likelier side came, against the better of always up and always down. The "
    "information coefficient is the rank correlation of the probability of up with the return. Gross is what "
    "a trade of the likelier side at every judged origin, held for the horizon, earned on average: the most "
    "that a round trip may cost."
)


def direction_section(results: WalkResults, round_trip_bps: float) -> Section:
    """Hit rate, information coefficient and gross worth by symbol and horizon, with bootstrap intervals."""
    cases = [
        (symbol, h, each.score(h).direction)
        for symbol, each in results.symbols.items()
        for h in range(len(results.horizons))
    ]
    known = sorted(((s, h, d) for s, h, d in cases if d is not None), key=lambda case: case[1])
    if not known:
        return Section(
            "direction", "Direction", ["No return was other than zero: there is no direction to judge."]
        )
    level = percent(next(iter(results.symbols.values())).scorecard.adjusted_confidence, 2)
    ahead = [f"{horizon} ahead" for horizon in results.horizons]
    hits = [_dot(ahead[h], s, _flipped(d.misses_less_constant.adjusted), 100.0) for s, h, d in known]
    ranks = [_dot(ahead[h], s, d.information_coefficient_adjusted, 1.0) for s, h, d in known]
    pictures = [
        _picture(
            "Is it right more often than the best constant?",
            "points",
            hits,
            f"Intervals at {level}, which hold together.",
        ),
        _picture(
            "Are probabilities of up in the order of returns?",
            "information coefficient",
            ranks,
            f"Intervals at {level}; zero is no order at all.{_unranked(results, known)}",
        ),
    ]
    return Section(
        "direction",
        "Direction",
        [_LEAD, _plainly(results, known)],
        pictures,
        [_skill(results, cases), _worth(results, cases, round_trip_bps)],
    )


_Case = tuple[str, int, DirectionScore | None]


def _plainly(results: WalkResults, known: list[tuple[str, int, DirectionScore]]) -> str:
    """Where the widened intervals are clear of no skill, or that none is."""
    counts = {"hit rate": 0, "information coefficient": 0, "gross per trade": 0}
    for symbol, _, found in known:
        for name in found.claims(results.symbols[symbol].scorecard.min_independent):
            counts[name] += 1
    card = next(iter(results.symbols.values())).scorecard
    level = percent(card.adjusted_confidence, 2)
    if not any(counts.values()):
        return (
            f"No interval at {level} with {card.min_independent} independent labels is clear of the constant "
            "or of zero: nothing here is told from a coin."
        )
    told = "; ".join(f"{name} in {count} of {len(known)} cases" for name, count in counts.items())
    labels = f"with {card.min_independent} independent labels"
    return f"Clear of the constant or of zero at {level}, {labels}: {told}."


def _dot(group: str, name: str, value: Interval | None, factor: float) -> Dot | None:
    if value is None:
        return None
    low, high = (None if bound is None else factor * bound for bound in (value.low, value.high))
    scaled = Interval(factor * value.mean, low, high, value.level, value.reason)
    colour = palette.GOOD if scaled.above(0.0) else palette.BAD if scaled.below(0.0) else palette.MUTED
    return Dot(group, name, scaled, colour)


def _flipped(value: Interval) -> Interval:
    """Hits more, of misses less."""
    low, high = (None if bound is None else -bound for bound in (value.high, value.low))
    return Interval(-value.mean, low, high, value.level, value.reason)


def _picture(title: str, unit: str, dots: list[Dot | None], caption: str) -> Picture:
    figure = dot_and_whisker([dot for dot in dots if dot is not None], line=0)
    colours = "Green: the whole interval is above zero; red: below; grey: it holds zero."
    return Picture(title, figure, f"{colours} {caption}", half=True, unit=unit)


def _unranked(results: WalkResults, known: list[tuple[str, int, DirectionScore]]) -> str:
    """Which cases have no coefficient: a probability that never varies has no order."""
    absent = [f"{s} {results.horizons[h]}" for s, h, d in known if d.information_coefficient_adjusted is None]
    return f" Not drawn, for the probability never varies: {joined(absent)}." if absent else ""


def _skill(results: WalkResults, cases: list[_Case]) -> Table:
    card = next(iter(results.symbols.values())).scorecard
    level = percent(card.confidence, 0)
    rows = []
    for symbol, h, found in cases:
        cells: tuple[str, ...] = (ABSENT,) * 5
        if found is not None:
            enough = found.num_independent >= card.min_independent
            cells = (
                number(found.num_independent, 0),
                interval(found.hit_rate, 1, factor=100.0),
                percent(found.constant_hit_rate),
                interval(found.information_coefficient, 3, signed=True),
                ", ".join(found.claims(card.min_independent)) or ("nothing" if enough else "too few labels"),
            )
        rows.append((symbol if h == 0 else "", results.horizons[h], *cells))
    head = (
        "Symbol", "Ahead", "Independent", f"Right, % [{level}]", "Best constant",
        f"Information coefficient [{level}]", f"Clear at {percent(card.adjusted_confidence, 2)}",
    )  # fmt: skip
    caption = (
        "Independent is the number of labels that do not overlap. Clear is what lies beyond the constant or "
        f"zero with its whole widened interval, given {card.min_independent} independent labels."
    )
    return Table("Up or down", head, rows, caption)


def _worth(results: WalkResults, cases: list[_Case], round_trip_bps: float) -> Table:
    card = next(iter(results.symbols.values())).scorecard
    rows = []
    for symbol, h, found in cases:
        trade = found.trade if found else None
        cells: tuple[str, ...] = (ABSENT,) * 5
        if trade is not None:
            cells = (
                number(trade.num_trades, 0),
                interval(trade.gross_bps, 1, signed=True),
                bounds(trade.gross_bps_adjusted, 1, signed=True),
                number(trade.mean_move_bps, 1),
                percent(trade.break_even_hit_rate(round_trip_bps)),
            )
        rows.append((symbol if h == 0 else "", results.horizons[h], *cells))
    head = (
        "Symbol", "Ahead", "Trades", f"Gross, bps a trade [{percent(card.confidence, 0)}]",
        f"[{percent(card.adjusted_confidence, 2)}]", "Mean move, bps", "Hits to break even",
    )  # fmt: skip
    caption = (
        f"Hits to break even is the share at which a round trip of {number(round_trip_bps, 1)} bps, fees and "
        "slippage of the config, pays for itself. A dash: the mean move is smaller than that, or both sides "
        "were always equally likely."
    )
    return Table("What a trade is worth before costs", head, rows, caption)
