"""How much of a result hangs on what is not known exactly: fees, slippage, a delay, the cost of trading.

In: variations and the break-even cost of a `Study`, and the account itself. Out: two `Finding`s.
"""

from __future__ import annotations

from collections.abc import Sequence

from polyscale.backtesting.measures import Absent
from polyscale.backtesting.result import BacktestResult
from polyscale.evaluation.bootstrap import Interval
from polyscale.evaluation.trading.sensitivity import Variation
from polyscale.report import palette
from polyscale.report.baselines import Dot, dot_and_whisker
from polyscale.report.finding import Finding, not_asked
from polyscale.report.section import Picture, Table
from polyscale.report.wording import joined, number, percent

_COSTS, _ROBUST = "Room for costs", "Other costs, or late"


def room_for_costs(break_even_bps: float | Absent, result: BacktestResult) -> Finding:
    """What a fill may cost before nothing is left, beside what it was charged."""
    traded = _traded(result)
    if traded == 0.0:
        return not_asked(_COSTS, "nothing was traded")
    costs = result.costs
    charged = 1e4 * (costs.fees + costs.slippage) / traded
    paid = f"{number(charged, 1)} bps of the value traded were charged, fees and slippage together"
    if isinstance(break_even_bps, Absent):
        return Finding(_COSTS, f"There is no break-even cost: {break_even_bps.reason}. {_capital(paid)}.")
    told = (
        f"Nothing is left at a cost of {number(break_even_bps, 1)} bps of the value traded. {_capital(paid)}"
    )
    if charged <= 0.0:
        return Finding(_COSTS, f"{told}.")
    times = break_even_bps / charged
    if times > 1.0:
        return Finding(_COSTS, f"{told}: costs may be {number(times, 1)} times as high before it loses.")
    return Finding(_COSTS, f"{told}: it would have to trade at {percent(times, 0)} of that to come out even.")


def robustness(variations: Sequence[Variation], result: BacktestResult) -> Finding:
    """Total return and Sharpe ratio with one thing changed at a time."""
    if _traded(result) == 0.0:
        return not_asked(_ROBUST, "nothing was traded")
    as_set = variations[0]
    known = [row for row in variations if row.total_return is not None]
    if as_set.total_return is None:
        return not_asked(_ROBUST, as_set.reason)
    turned = [_name(row) for row in known if _sign(row.total_return) != _sign(as_set.total_return)]
    made = f"As set the strategy made {percent(as_set.total_return, 1, signed=True)}. "
    if not turned:
        told = "With other fees, other slippage, or one and two bars late, its return keeps its sign."
    else:
        told = f"Its return has the other sign with {joined(turned)}: it hangs on that."
    picture = Picture(
        "What is left with one thing changed?",
        dot_and_whisker([_dot(*row) for row in _grouped(variations)], unit=" %", line=0),
        "Factors are times what the settings charge; late is every decision that many bars later. The "
        "positions stay what they were.",
        half=True,
        unit="total return in %",
    )
    rows = [
        (
            _name(row).capitalize(),
            percent(row.total_return, 2, signed=True),
            number(row.sharpe_ratio),
            percent(row.max_drawdown),
        )
        for row in variations
    ]
    reasons = dict.fromkeys(row.reason for row in variations if row.reason)
    table = Table(
        "One thing changed at a time",
        ("Changed", "Total return", "Sharpe ratio (a year)", "Largest drawdown"),
        rows,
        f"A dash: {joined(list(reasons))}." if reasons else "",
    )
    return Finding(_ROBUST, made + told, [picture], [table])


def _traded(result: BacktestResult) -> float:
    return float(result.ledger["traded"].sum())


def _grouped(variations: Sequence[Variation]) -> list[tuple[str, str, Variation]]:
    """Rows of the picture: what is changed, to what, and the variation; as set stands in each group."""
    as_set = variations[0]
    found: list[tuple[str, str, Variation]] = []
    for group, field in (("Fees", "fee_factor"), ("Slippage", "slippage_factor")):
        rows = [as_set, *(v for v in variations[1:] if _changed(v) == (field,))]
        rows.sort(key=lambda row: getattr(row, field))
        found += [(group, f"× {_factor(getattr(row, field))}", row) for row in rows]
    found += [("Both", "× 0", v) for v in variations if _changed(v) == ("fee_factor", "slippage_factor")]
    found += [("Late", _bars(v.delay_bars), v) for v in variations if _changed(v) == ("delay_bars",)]
    return [row for row in found if row[2].total_return is not None]


def _dot(group: str, name: str, row: Variation) -> Dot:
    assert row.total_return is not None
    value = 100.0 * row.total_return
    colour = palette.NETWORK if _changed(row) else palette.INK
    return Dot(
        group, name, Interval(value, None, None, 0.0), colour, number(value, 2, unit=" %", signed=True)
    )


def _changed(row: Variation) -> tuple[str, ...]:
    usual = {"fee_factor": 1.0, "slippage_factor": 1.0, "delay_bars": 0}
    return tuple(name for name, value in usual.items() if getattr(row, name) != value)


def _name(row: Variation) -> str:
    match _changed(row):
        case ():
            return "as set"
        case ("fee_factor",):
            return f"fees × {_factor(row.fee_factor)}"
        case ("slippage_factor",):
            return f"slippage × {_factor(row.slippage_factor)}"
        case ("delay_bars",):
            return f"{_bars(row.delay_bars)} late"
    return "neither fees nor slippage"


def _factor(value: float) -> str:
    return f"{value:g}"


def _bars(count: int) -> str:
    return f"{count} bar{'s' * (count != 1)}"


def _sign(value: float | None) -> int:
    return 0 if not value else 1 if value > 0 else -1


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
