"""Whether the timing is more than chance: the strategy among its own trades at random times.

In: `RandomEntries` and the level of the page's intervals. Out: a `Finding`.
"""

from __future__ import annotations

from polyscale.backtesting.measures import Absent
from polyscale.evaluation.trading.random_entries import RandomEntries, Standing
from polyscale.report.finding import Finding, not_asked
from polyscale.report.section import Picture
from polyscale.report.strip import Strip, strips
from polyscale.report.wording import number, p_value, percent

_HEAD = "Timing"


def timing(random: RandomEntries | Absent, level: float) -> Finding:
    """Total return and Sharpe ratio beside those of random times; small p-values speak for the timing."""
    if isinstance(random, Absent):
        return not_asked(_HEAD, random.reason)
    return_, sharpe = random.total_return, random.sharpe_ratio
    rows = [Strip("Total return", return_.observed, return_.random, 100.0, " %")]
    if isinstance(sharpe, Standing):
        rows.append(Strip("Sharpe ratio, a year", sharpe.observed, sharpe.random))
        by_sharpe = f"by Sharpe ratio p = {p_value(sharpe.p_value)}"
    else:
        by_sharpe = f"there is no Sharpe ratio: {sharpe.reason}"
    told = (
        f"The same {number(random.num_trades, 0)} trades were entered at random times, "
        f"{number(random.num_draws, 0)} times over: {percent(return_.percentile, 0)} of these earned less "
        f"than the strategy (p = {p_value(return_.p_value)}; {by_sharpe}). {_meaning(return_, sharpe, level)}"
    )
    picture = Picture(
        "Is the strategy better than its own trades at random times?",
        strips(rows),
        "Dot and number: the strategy. Band: nine in ten of the random times, its tick their median. A dot "
        "inside the band is nothing that chance does not give.",
        half=True,
        unit="return in %, and Sharpe ratio",
    )
    return Finding(_HEAD, told, [picture])


def _meaning(return_: Standing, sharpe: Standing | Absent, level: float) -> str:
    p_values = [return_.p_value, *([sharpe.p_value] if isinstance(sharpe, Standing) else [])]
    most = 1.0 - level + 1e-9
    if max(p_values) <= most:
        return (
            "The timing is better than chance explains; of strategies that cannot time, one in "
            f"{number(1.0 / (1.0 - level), 0)} looks so too."
        )
    if min(p_values) >= 1.0 - most:
        return "Random times did nearly always better: the timing did harm."
    return "The timing cannot be told from chance."
