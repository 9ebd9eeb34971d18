"""The network beside every rival: over all symbols, then each symbol alone.

In: `WalkResults`. Out: a `Section` over all symbols; one per symbol with every p-value.
"""

from __future__ import annotations

from polyscale.evaluation.contest import CONFIDENCE, Loss
from polyscale.report import palette
from polyscale.report.baselines import Dot, baselines_section, dot_and_whisker
from polyscale.report.section import Picture, Section, Table
from polyscale.report.walk.results import BASE, NETWORK, SymbolResults, WalkResults
from polyscale.report.walk.span import span_of
from polyscale.report.wording import ABSENT, number, p_value, percent

_MEASURES = {"qlike": "QLIKE", "pinball": "Pinball", "crps": "CRPS"}
_LEAD = (
    "A ratio is the network's mean loss over the rival's on the same origins: below 1 the network is better. "
    "QLIKE judges the volatility; pinball loss and CRPS the quantiles of the return, which a rival has from "
    "the base's shape in its own volatility. p is the one-sided Diebold-Mariano test of that pair alone: "
    "what may be claimed of all together is said above."
)
_SET = f"{percent(CONFIDENCE, 0)} model confidence set"


def overview_section(results: WalkResults) -> Section:
    """Ratios to every rival by horizon, to the base by symbol, and who is in the model confidence set."""
    if not results.rivals():
        return Section(
            "overview", "Overview", ["There is no rival in this evaluation: nothing to compare with."]
        )
    pictures = [_picture(results, "qlike"), _picture(results, "crps")]
    tables = [_mean_ratios(results)]
    if BASE in results.rivals():
        tables.append(_against_base(results))
    tables.append(_confidence_set(results))
    return Section("overview", "Overview", [_LEAD], pictures, tables)


def rivals_section(results: WalkResults, symbol: str) -> Section:
    """One symbol: every rival with its p-values; losses and differences where they have intervals."""
    each = results.symbols[symbol]
    tables = [Table("Network over each rival", _HEAD, _rival_rows(results, each), _RIVALS_CAPTION)]
    known = [score.volatility for score in each.scorecard.horizons if score.volatility is not None]
    if not any(score.baselines for score in known):
        return Section("rivals", "Rivals", [], [], tables)
    losses = baselines_section(each.scorecard)
    return Section("rivals", "Rivals", [], losses.pictures, [*tables, *losses.tables[1:]])


_HEAD = (
    "Ahead", "Forecast", "QLIKE", "Ratio", "p", "Pinball, bps", "Ratio", "p", "CRPS, bps", "Ratio", "p",
    "In the set",
)  # fmt: skip
_RIVALS_CAPTION = (
    "Losses are means over the judged origins, pinball and CRPS in basis points of return; p is one-sided, "
    f"that the network is better. The set is the {_SET} of QLIKE."
)


def _picture(results: WalkResults, measure: str) -> Picture:
    dots = []
    for h, horizon in enumerate(results.horizons):
        for rival in results.rivals():
            ratios = results.ratios(h, rival, measure)
            if ratios:
                dots.append(_dot(f"{horizon} ahead", rival, ratios))
    many = len(results.symbols) > 1
    caption = (
        f"{_counted(dots)} At the line the network and the rival are as good as each other; left of it the "
        "network is better."
    )
    if many:
        caption += (
            " Dots are means over symbols, written at the right; lines go from the least to the greatest "
            "symbol. Green: better for every symbol; red: worse for every symbol."
        )
    else:
        caption += " Green: better; red: worse. How sure that is, the p-values say."
    name = _MEASURES[measure]
    return Picture(
        f"Is the network better than each rival, by {name}?",
        dot_and_whisker(dots, line=1),
        caption,
        half=True,
        unit="its loss over theirs, a ratio",
    )


def _counted(dots: list[Dot]) -> str:
    """In how many rows the network is better or worse throughout."""
    better = sum(dot.colour == palette.GOOD for dot in dots)
    worse = sum(dot.colour == palette.BAD for dot in dots)
    return f"Of {len(dots)} rows {better} {'is' if better == 1 else 'are'} green and {worse} red."


def _dot(group: str, name: str, ratios: list[float]) -> Dot:
    colour = palette.GOOD if max(ratios) < 1 else palette.BAD if min(ratios) > 1 else palette.MUTED
    span = span_of(ratios)
    return Dot(group, name, span, colour, number(span.mean, 3))


def _mean_ratios(results: WalkResults) -> Table:
    """By rival: the mean ratio of each loss at each horizon."""
    head = ["Rival"] + [f"{name} {horizon}" for name in _MEASURES.values() for horizon in results.horizons]
    rows = []
    for rival in results.rivals():
        cells = [
            _mean(results.ratios(h, rival, measure))
            for measure in _MEASURES
            for h in range(len(results.horizons))
        ]
        rows.append((rival, *cells))
    over = ", mean over symbols" if len(results.symbols) > 1 else ""
    return Table(f"Network over rival{over}", tuple(head), rows)


def _against_base(results: WalkResults) -> Table:
    rows = []
    for symbol, each in results.symbols.items():
        for h, horizon in enumerate(results.horizons):
            cells = [cell for measure in _MEASURES for cell in _ratio_cells(each.loss(h, BASE, measure))]
            origins = number(each.standings[h].num_origins, 0)
            independent = number(each.score(h).num_independent, 0)
            rows.append((symbol if h == 0 else "", horizon, *cells, origins, independent))
    head = ("Symbol", "Ahead", "QLIKE", "p", "Pinball", "p", "CRPS", "p", "Origins", "Independent")
    caption = (
        "A dash: no origin had both its label and the base. Independent counts labels that do not overlap."
    )
    return Table("Network over base, by symbol", head, rows, caption)


def _confidence_set(results: WalkResults) -> Table:
    """Who cannot be told from the best, as a count of symbols or, with one symbol, yes or no."""
    rows = []
    for name in [NETWORK, *results.rivals()]:
        cells = []
        for h in range(len(results.horizons)):
            models = [each.standings[h].models.get(name) for each in results.symbols.values()]
            known = [m.in_confidence_set for m in models if m is not None and m.in_confidence_set is not None]
            cells.append(_membership(known, many=len(results.symbols) > 1))
        rows.append((name, *cells))
    return Table(
        f"In the {_SET} of QLIKE{', number of symbols' if len(results.symbols) > 1 else ''}",
        ("Forecast", *(f"{horizon} ahead" for horizon in results.horizons)),
        rows,
        "Forecasts that cannot be told from the best of all; with few origins nearly all of them. A dash: "
        "too few origins for a set, or two forecasts whose losses differ by a constant.",
    )


def _membership(known: list[bool], *, many: bool) -> str:
    if not known:
        return ABSENT
    return f"{sum(known)} of {len(known)}" if many else ("yes" if known[0] else "no")


def _rival_rows(results: WalkResults, each: SymbolResults) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for h, horizon in enumerate(results.horizons):
        for i, (name, standing) in enumerate(each.standings[h].models.items()):
            inside = standing.in_confidence_set
            rows.append(
                (
                    horizon if i == 0 else "",
                    name,
                    number(standing.qlike.mean, 4),
                    *_ratio_cells(standing.qlike),
                    number(1e4 * standing.pinball.mean, 2),
                    *_ratio_cells(standing.pinball),
                    number(1e4 * standing.crps.mean, 2),
                    *_ratio_cells(standing.crps),
                    ABSENT if inside is None else "yes" if inside else "no",
                )
            )
        if not each.standings[h].models:
            rows.append((horizon, "not judged", *[ABSENT] * 10))
    return rows


def _ratio_cells(loss: Loss | None) -> tuple[str, str]:
    return (ABSENT, ABSENT) if loss is None else (number(loss.ratio, 3), p_value(loss.p_value))


def _mean(values: list[float]) -> str:
    return number(sum(values) / len(values), 3) if values else ABSENT
