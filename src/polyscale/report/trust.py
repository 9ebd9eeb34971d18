"""Whether the strategy's result is more than chance: six questions, each with its answer.

In: a `Study`. Out: a `Section`. A question without an answer says why.
"""

from __future__ import annotations

from polyscale.evaluation.trading.study import Study
from polyscale.report.search import deflated, overfitting
from polyscale.report.section import Section
from polyscale.report.sensitivity import robustness, room_for_costs
from polyscale.report.timing import timing
from polyscale.report.trade_order import order_of_trades

_LEAD = (
    "A backtest is one history, and a strategy is what was left of several. Here the line that was traded, "
    "{traded}, is held against its own trades at random times, other orders of its trades, other costs, "
    "later fills, and all the parameter sets that might have been chosen instead of it."
)


def trust_section(study: Study) -> Section:
    """All findings: words first, then pictures, then tables."""
    level = study.line.over_hold.level
    findings = [
        timing(study.random, level),
        order_of_trades(study.trade_order),
        room_for_costs(study.break_even_bps, study.line.result),
        robustness(study.variations, study.line.result),
        deflated(study.significance.sharpe, level),
        overfitting(study.significance.overfitting),
    ]
    return Section(
        "trust",
        "Is it more than chance",
        [_LEAD.format(traded=study.traded)],
        [picture for finding in findings for picture in finding.pictures],
        [table for finding in findings for table in finding.tables],
        points=[(finding.head, finding.text) for finding in findings],
    )
