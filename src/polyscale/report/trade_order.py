"""What the order of the trades hides: the same trades shuffled, and trades drawn anew from them.

In: a `TradeOrder`. Out: a `Finding`.
"""

from __future__ import annotations

from polyscale.backtesting.measures import Absent
from polyscale.evaluation.trade_order import TradeOrder
from polyscale.report.finding import Finding, not_asked
from polyscale.report.section import Picture
from polyscale.report.strip import Strip, strips
from polyscale.report.wording import number, percent

_HEAD = "Order of trades"
_TAIL = 0.05  # of orders: beyond it an order is called lucky or unlucky


def order_of_trades(order: TradeOrder | Absent) -> Finding:
    """Drawdown in other orders, and gain, drawdown and ruin of runs drawn with replacement."""
    if isinstance(order, Absent):
        return not_asked(_HEAD, order.reason)
    told = (
        f"The {number(order.num_trades, 0)} closed trades fell {percent(order.max_drawdown)} below their "
        f"height; of the same trades shuffled, {percent(order.percentile, 0)} of orders fell less. "
        f"{_luck(order)} Of runs of as many trades drawn anew from them, "
        f"{percent(order.probability_of_loss, 0)} end with a loss and "
        f"{percent(order.probability_of_ruin, 0)} fall by {percent(order.ruin_drawdown, 0)} or more."
    )
    rows = [
        Strip("Drawdown, trades shuffled", order.max_drawdown, order.reordered_drawdown, 100.0, " %"),
        Strip("Drawdown, trades drawn anew", order.max_drawdown, order.drawn_drawdown, 100.0, " %"),
        Strip("Return, trades drawn anew", order.final_return, order.drawn_return, 100.0, " %"),
    ]
    picture = Picture(
        "Was the order of the trades lucky?",
        strips(rows),
        "Dot and number: the trades as they came. Band: nine in ten of the draws, its tick their median. "
        "Both take trades as independent, and see drawdown only where a trade closes.",
        half=True,
        unit="drawdown and return, %",
    )
    return Finding(_HEAD, told, [picture])


def _luck(order: TradeOrder) -> str:
    median = percent(order.reordered_drawdown.median)
    if order.percentile < _TAIL:
        return f"This order was lucky: {median} is what to expect of these trades."
    if order.percentile > 1.0 - _TAIL:
        return f"Losses came in runs, or the order was unlucky: shuffled, the median is {median}."
    return f"That is an order like others; their median is {median}."
