"""The report: one HTML page that holds everything and asks the network for nothing.

In: a `ReportInput`. Out: the page of a run as text. What it is put into is in `shell`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from polyscale.backtesting.measures import Absent
from polyscale.backtesting.result import BacktestResult
from polyscale.evaluation.scorecard import Scorecard
from polyscale.evaluation.trading.study import Study
from polyscale.market.errors import DataError
from polyscale.market.forecast import Forecast
from polyscale.report import palette
from polyscale.report.badge import badge
from polyscale.report.baselines import baselines_section
from polyscale.report.calibration import calibration_section
from polyscale.report.fan import fan_section
from polyscale.report.money import costs_section, equity_section, trades_section
from polyscale.report.portfolio import sleeves_section, weights_over_time_section
from polyscale.report.risk import risk_section
from polyscale.report.scales import attention_section, weights_section
from polyscale.report.section import Section
from polyscale.report.shell import Chapter, Shell, in_shell, provenance_section
from polyscale.report.strategies import strategies_section
from polyscale.report.training import training_section
from polyscale.report.trust import trust_section
from polyscale.report.when import when_section
from polyscale.report.wording import joined
from polyscale.strategy.portfolio import Portfolio

_NOT_STUDIED = Absent("the strategy was not looked into")


@dataclass(frozen=True, eq=False)
class SymbolReport:
    """What the test gave for one symbol."""

    symbol: str
    bars: pl.DataFrame  # of the test, in `BAR_SCHEMA`
    forecast: Forecast  # at every origin of the test
    scorecard: Scorecard
    strategy: BacktestResult
    hold: BacktestResult
    study: Study | Absent = _NOT_STUDIED


@dataclass(frozen=True, eq=False)
class PortfolioReport:
    """All symbols on one account."""

    portfolio: Portfolio
    result: BacktestResult
    hold: BacktestResult  # an equal part of the account in each symbol, from the first close on


@dataclass(frozen=True, eq=False)
class ReportInput:
    """All that the page tells."""

    title: str
    verdict: Sequence[str]  # the whole in the first sentence, then one claim each
    simulated: bool  # the market was made up: a banner says so
    symbols: Sequence[SymbolReport]
    provenance: Mapping[str, object]  # mappings inside are written out
    config_yaml: str
    history: Sequence[Mapping[str, object]]  # per epoch: epoch, train_loss, val_loss
    audit: Mapping[str, object] | None = None  # audit.json of the run
    portfolio: PortfolioReport | None = None


def render(report: ReportInput) -> str:
    """Write the page.

    Raises
    ------
    DataError
        If there is no symbol to tell of, or a symbol without a bar or without a forecast.
    """
    _check(report)
    together = [] if report.portfolio is None else [_portfolio_chapter(report.portfolio)]
    many = len(report.symbols) + len(together) > 1
    return in_shell(
        Shell(
            title=report.title,
            period=_period(report),
            badge=badge(report.audit),
            simulated=report.simulated,
            verdict=[_claim(sentence) for sentence in report.verdict],
            chapters=[
                *together,
                *(
                    Chapter(item.symbol, f"s{i}-" if many else "", _sections(item))
                    for i, item in enumerate(report.symbols)
                ),
            ],
            closing=[
                training_section(report.history),
                provenance_section(report.provenance, report.config_yaml),
            ],
        )
    )


def _check(report: ReportInput) -> None:
    if not report.symbols:
        raise DataError("a report needs at least one symbol, got none")
    for item in report.symbols:
        if item.bars.is_empty() or len(item.forecast) == 0:
            raise DataError(
                f"a report needs bars and forecasts of each symbol, got {item.bars.height} bars and "
                f"{len(item.forecast)} forecasts of {item.symbol}; take a longer test"
            )


def _sections(item: SymbolReport) -> list[Section]:
    return [
        fan_section(item.bars, item.forecast),
        weights_section(item.forecast),
        attention_section(item.forecast),
        equity_section(item.strategy, item.hold),
        costs_section(item.strategy, item.hold),
        trades_section(item.strategy, item.hold),
        *_study_sections(item.study),
        risk_section(item.strategy, item.hold),
        baselines_section(item.scorecard),
        calibration_section(item.scorecard),
    ]


def _study_sections(study: Study | Absent) -> list[Section]:
    """What a trader needs to believe the result; one sentence where there is none."""
    if isinstance(study, Absent):
        told = f"There is no comparison of scales, and no test against chance: {study.reason}."
        return [Section("strategies", "Scales as strategies", [told])]
    return [strategies_section(study), trust_section(study), when_section(study)]


def _portfolio_chapter(item: PortfolioReport) -> Chapter:
    """All symbols on one account, beside holding an equal part of each."""
    together = (
        f"{joined(list(item.portfolio.positions))} on one account, traded by the horizons together. Hold is "
        "an equal part of the account in each symbol, bought at the first chance and kept."
    )
    equity = equity_section(item.result, item.hold)
    return Chapter(
        "Portfolio",
        "all-",
        [
            replace(equity, lead=[together, *equity.lead]),
            weights_over_time_section(item.portfolio),
            sleeves_section(item.portfolio),
            costs_section(item.result, item.hold),
            trades_section(item.result, item.hold),
            risk_section(item.result, item.hold),
        ],
    )


def _claim(sentence: str) -> tuple[str, str]:
    """Split ``Volatility, 1h ahead: no edge shown. ...`` into what is set bold and the rest."""
    head, colon, rest = sentence.partition(": ")
    return (f"{head}:", rest) if colon and len(head) < 60 else ("", sentence)


def _period(report: ReportInput) -> str:
    times = [palette.time_text(item.forecast.close_time) for item in report.symbols]
    first, last = min(text[0] for text in times), max(text[-1] for text in times)
    origins = sum(len(text) for text in times)
    symbols = ", ".join(item.symbol for item in report.symbols)
    return f"{symbols} · test {first[:10]} to {last[:10]} · {origins:,} forecasts"
