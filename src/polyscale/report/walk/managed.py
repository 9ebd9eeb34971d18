"""Volatility-managed holding by everybody's forecast: what the forecast of volatility is worth in money.

In: `WalkResults`. Out: a `Section` over all symbols, and the pictures of one; nothing where it was not run.
"""

from __future__ import annotations

from collections.abc import Iterator

from polyscale.evaluation.bootstrap import Interval
from polyscale.evaluation.trading.managed import CONSTANT, RISK_AVERSION, Account, ManagedComparison
from polyscale.report import palette
from polyscale.report.baselines import Dot, dot_and_whisker
from polyscale.report.section import Picture, Section, Table
from polyscale.report.walk.results import SymbolResults, WalkResults
from polyscale.report.wording import joined, number, percent

_HEAD = (
    "Symbol", "Ahead", "Account", "Return", "Volatility", "Sharpe", "Largest drawdown", "Mean size",
    "Turnover", "Costs", "Miss",
)  # fmt: skip
_TITLE = "Volatility-managed holding"
_SHARPE, _UTILITY = "Sharpe ratio", "utility"


def managed_section(results: WalkResults) -> Section | None:
    """What it is, what is clear of zero, every account; the pictures too where there is one symbol."""
    told = {symbol: each for symbol, each in results.symbols.items() if each.managed}
    reasons = [
        f"{symbol}: {each.managed_reason}."
        for symbol, each in results.symbols.items()
        if not each.managed and each.managed_reason
    ]
    if not told:
        return Section("managed", _TITLE, [f"Not run. {' '.join(reasons)}"]) if reasons else None
    pictures = managed_pictures(next(iter(told.values()))) if len(results.symbols) == 1 else []
    lead = [_what(next(iter(told.values())).managed[0]), _chance(told)]
    return Section("managed", _TITLE, lead, pictures, [_table(told, reasons)])


def managed_pictures(each: SymbolResults) -> list[Picture]:
    """Differences of Sharpe ratio and of utility to every other account, by horizon."""
    if not each.managed:
        return []
    level = percent(each.scorecard.confidence, 0)
    sides = "Green: the whole interval is above zero, the network's account is better; red: below."
    return [
        Picture(
            "Does the network's account pay more for its risk?",
            dot_and_whisker(_dots(each.managed, _SHARPE), line=0),
            f"By horizon of the forecast, with {level} intervals. {sides}",
            half=True,
            unit="Sharpe ratio a year less the other's",
        ),
        Picture(
            "What would an investor pay to have it?",
            dot_and_whisker(_dots(each.managed, _UTILITY), unit=" %", line=0),
            f"What an investor with a risk aversion of {number(RISK_AVERSION, 0)} would pay a year to have "
            f"the network's account instead of the other, with {level} intervals.",
            half=True,
            unit="utility less the other's, % of equity a year",
        ),
    ]


def _what(first: ManagedComparison) -> str:
    others = [
        "one of constant size" if name == CONSTANT else f"one that follows {name}" for name in first.against
    ]
    return (
        "Always long, with a size such that the forecast volatility is the target of "
        f"{percent(first.target_volatility, 0)} a year: it trades on the forecast of volatility alone, and "
        "on no view of where the price goes. The account that follows the network is held against "
        f"{joined(others)}, after all costs."
    )


def _chance(told: dict[str, SymbolResults]) -> str:
    """Which of all intervals are clear of zero, and how many would be by chance."""
    many = len(told) > 1
    found = [
        (f"{symbol + ' ' if many else ''}{managed.horizon} against {name} ({measure})", value)
        for symbol, each in told.items()
        for managed in each.managed
        for name, measure, value in _differences(managed)
        if value.low is not None
    ]
    above = [name for name, value in found if value.above(0.0)]
    below = [name for name, value in found if value.below(0.0)]
    if not found:
        return "There is no interval of a difference: the tests are too short."
    chance = (
        f"The intervals are of one difference each, and of {len(found)} some are clear of zero by chance."
    )
    if not above and not below:
        return f"No interval of {len(found)} is clear of zero: nothing is claimed."
    said = [f"{side} for {_some(names)}" for side, names in (("better", above), ("worse", below)) if names]
    return f"Clear of zero: {'; '.join(said)}. {chance}"


def _some(names: list[str]) -> str:
    return joined(names) if len(names) <= 6 else f"{len(names)} of them, {names[0]} the first"


def _differences(managed: ManagedComparison) -> Iterator[tuple[str, str, Interval]]:
    for name, against in managed.against.items():
        if against.sharpe_ratio is not None:
            yield name, _SHARPE, against.sharpe_ratio
        yield name, _UTILITY, against.utility


def _dots(comparisons: tuple[ManagedComparison, ...], wanted: str) -> list[Dot]:
    factor, digits = (1.0, 2) if wanted == _SHARPE else (100.0, 1)
    dots = []
    for managed in comparisons:
        for name, measure, value in _differences(managed):
            if measure != wanted:
                continue
            low, high = (None if end is None else factor * end for end in (value.low, value.high))
            mean = factor * value.mean
            dots.append(
                Dot(
                    f"{managed.horizon} ahead",
                    f"vs {name}",
                    Interval(mean, low, high, value.level),
                    palette.colour_of(low, high, 0.0),
                    number(mean, digits, signed=True),
                )
            )
    return dots


def _table(told: dict[str, SymbolResults], reasons: list[str]) -> Table:
    rows: list[tuple[str, ...]] = []
    for symbol, each in told.items():
        for h, managed in enumerate(each.managed):
            for i, (name, account) in enumerate(managed.accounts.items()):
                place = (symbol if h == i == 0 else "", str(managed.horizon) if i == 0 else "")
                rows.append((*place, name, *_cells(account)))
    first = next(iter(told.values())).managed[0]
    caption = (
        f"Over {number(first.num_days, 0)} days, after costs. Volatility a year should be "
        f"{percent(first.target_volatility, 0)}; miss is the mean distance of a week's from that, in logs: 0 "
        "is met in every week. Sharpe ratios are of days, turnover in mean equities, costs a share of the "
        "starting equity. Constant has the network's mean size throughout."
    )
    return Table("Every account", _HEAD, rows, " ".join([caption, *reasons]))


def _cells(account: Account) -> tuple[str, ...]:
    return (
        percent(account.total_return, 2, signed=True),
        percent(account.volatility),
        number(account.sharpe_ratio),
        percent(account.max_drawdown),
        percent(account.mean_target),
        number(account.turnover, 1),
        percent(account.costs_share, 2),
        number(account.miss),
    )
