"""The report of a walk-forward: one HTML page that holds everything and asks the network for nothing.

In: a `WalkReport`, out of what a finished evaluation's folder holds. Out: the page as text. Questions come in
the order in which they are asked: is there an edge, against whom, calibrated, in the tail, in direction, in
the money of somebody who holds; then each symbol with its rivals and where it is better; parts, times and
what all was made with at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from polyscale.market.errors import DataError
from polyscale.report.section import Section
from polyscale.report.shell import Chapter, Shell, in_shell, provenance_section
from polyscale.report.walk.coverage import coverage_section, symbol_pictures
from polyscale.report.walk.direction import direction_section
from polyscale.report.walk.managed import managed_pictures, managed_section
from polyscale.report.walk.overview import overview_section, rivals_section
from polyscale.report.walk.parts import ablations_section, seconds_section
from polyscale.report.walk.results import WalkResults
from polyscale.report.walk.tail_risk import tail_risk_section
from polyscale.report.walk.verdict import claims_section, walk_verdict
from polyscale.report.walk.where import where_section


@dataclass(frozen=True, eq=False)
class WalkReport:
    """All that the page tells."""

    title: str
    results: WalkResults
    simulated: bool  # the market was made up: a banner says so
    num_folds: int
    num_seeds: int
    round_trip_bps: float  # cost of opening and closing a position
    provenance: Mapping[str, object]  # mappings inside are written out
    config_yaml: str


def render_walk(report: WalkReport) -> str:
    """Write the page.

    Raises
    ------
    DataError
        If there is no symbol to tell of.
    """
    results = report.results
    if not results.symbols:
        raise DataError("a report needs at least one symbol, got none; test days for which there are bars")
    many = len(results.symbols) > 1
    ablations, managed = ablations_section(results), managed_section(results)
    return in_shell(
        Shell(
            title=report.title,
            period=_period(report),
            badge="",
            simulated=report.simulated,
            verdict=walk_verdict(results),
            opening=[
                claims_section(results),
                overview_section(results),
                coverage_section(results),
                tail_risk_section(results),
                direction_section(results, report.round_trip_bps),
                *([managed] if managed else []),
            ],
            chapters=[
                Chapter(symbol, f"s{i}-" if many else "", _chapter(results, symbol, many=many))
                for i, symbol in enumerate(results.symbols)
            ],
            closing=[
                *([ablations] if ablations else []),
                seconds_section(results),
                provenance_section(report.provenance, report.config_yaml),
            ],
        )
    )


def _chapter(results: WalkResults, symbol: str, *, many: bool) -> list[Section]:
    """One symbol; calibration and managed holding are already told where it is the only one."""
    own = symbol_pictures(results.symbols[symbol]) if many else []
    calibration = [Section("quantiles", "Calibration", [], own)] if own else []
    held = managed_pictures(results.symbols[symbol]) if many else []
    managed = [Section("held", "Volatility-managed holding", [], held)] if held else []
    return [rivals_section(results, symbol), *calibration, where_section(results, symbol), *managed]


def _period(report: WalkReport) -> str:
    symbols = report.results.symbols
    first = min(each.first for each in symbols.values())[:10]
    last = max(each.last for each in symbols.values())[:10]
    folds, seeds = report.num_folds, report.num_seeds
    origins = sum(max(row.num_origins for row in each.standings) for each in symbols.values())
    return (
        f"{', '.join(symbols)} · tests {first} to {last} · {folds} fold{'s' * (folds != 1)}, "
        f"{seeds} seed{'s' * (seeds != 1)} · {origins:,} judged origins"
    )
