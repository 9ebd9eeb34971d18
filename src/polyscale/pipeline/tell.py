"""What a run came to, as plain data: metrics.json, the summary of the command, rows for tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from polyscale.backtesting.measures import Absent
from polyscale.backtesting.result import BacktestResult
from polyscale.evaluation.scorecard import HorizonScore
from polyscale.evaluation.trading.significance import NOISE
from polyscale.evaluation.trading.study import Study
from polyscale.evaluation.verdict import has_edge, verdict
from polyscale.market.errors import RunError
from polyscale.market.forecast import Forecast
from polyscale.report.page import PortfolioReport, SymbolReport
from polyscale.runs.folder import RunFolder, State, list_runs

PORTFOLIO: Final = "portfolio"  # beside the symbols, in metrics.json and among the ledgers
RATIO: Final = "net/base "  # the network's QLIKE over the base's, per horizon


def metrics_of(outcomes: list[SymbolReport], portfolio: PortfolioReport | None = None) -> dict[str, Any]:
    """Every figure of every symbol, and of the account that trades them all, for metrics.json."""
    figures = {
        outcome.symbol: {
            "scorecard": outcome.scorecard.to_dict(),
            "edges": has_edge(outcome.scorecard),
            "strategy": money_of(outcome.strategy),
            "buy_and_hold": money_of(outcome.hold),
            "study": study_dict(outcome.study),
        }
        for outcome in outcomes
    }
    return figures if portfolio is None else {**figures, PORTFOLIO: portfolio_dict(portfolio)}


def portfolio_dict(portfolio: PortfolioReport) -> dict[str, Any]:
    """One account over all symbols: measures, and the mean absolute target of each sleeve and symbol."""
    wanted = np.abs(portfolio.portfolio.wanted).mean(axis=0)
    return {
        "strategy": money_of(portfolio.result),
        "buy_and_hold": money_of(portfolio.hold),
        "mean_target_by_sleeve": dict(
            zip(portfolio.portfolio.sleeves, wanted.mean(axis=1).tolist(), strict=True)
        ),
        "mean_target_by_symbol": dict(
            zip(portfolio.portfolio.positions, wanted.sum(axis=0).tolist(), strict=True)
        ),
    }


def study_dict(looked_into: Study | Absent) -> dict[str, Any]:
    """A study as plain data, or why there is none."""
    if isinstance(looked_into, Absent):
        return {"reason": looked_into.reason}
    return looked_into.to_dict()


def study_sentences(looked_into: dict[str, Any]) -> list[str]:
    """What a study says of the strategy that is traded, in words; of what does not exist, why."""
    said = []
    timing = looked_into["random_entries"]
    if "total_return" in timing:
        place = timing["total_return"]
        said.append(
            f"Timing: {_percent(place['observed'])} against {_percent(place['random']['median'])} for the "
            f"same trades at random times (p = {place['p_value']:.3f})."
        )
    else:
        said.append(f"Timing cannot be told from chance: {timing['reason']}.")
    even = looked_into["break_even_bps"]
    said.append(
        f"Break-even cost: {even['value']:.2f} bps of the value traded."
        if even["value"] is not None
        else f"No break-even cost: {even['reason']}."
    )
    sharpe = looked_into["significance"]["sharpe"]
    said.append(
        f"Sharpe ratio per day {sharpe['sharpe']:.3f}; the best of {sharpe['num_trials']} trials without "
        f"skill is expected at {sharpe['expected_max']:.3f}; chance that it is more than that: "
        f"{_percent(sharpe['deflated'])}."
        if sharpe["sharpe"] is not None
        else f"No deflated Sharpe ratio: {sharpe['reason']}."
    )
    overfit = looked_into["significance"]["overfitting"]
    said.append(
        f"Probability of overfitting over {overfit['num_sets']} sets of rules: "
        f"{_percent(overfit['probability'])} (pure noise gives anything from {100 * NOISE[0]:.0f} to "
        f"{100 * NOISE[1]:.0f} %)."
        if overfit["probability"] is not None
        else f"No probability of overfitting: {overfit['reason']}."
    )
    return said


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def money_of(result: BacktestResult) -> dict[str, Any]:
    """A backtest's measures and costs; None where a measure does not exist, with the reason beside it."""
    costs = {"fees": result.costs.fees, "slippage": result.costs.slippage, "funding": result.costs.funding}
    about = {
        "funding_source": result.funding_source,
        "liquidated": result.liquidated,
        "reasons": result.reasons,
    }
    return {**result.measures(), **costs, **about}


def verdict_of(outcome: SymbolReport) -> list[str]:
    """The verdict on one symbol in words."""
    costs = outcome.strategy.costs
    return verdict(
        outcome.scorecard,
        outcome.strategy.total_return,
        outcome.hold.total_return,
        costs.total / costs.initial_capital,
    )


def summary(folder: RunFolder, outcomes: list[SymbolReport]) -> dict[str, Any]:
    """What the command ends with: QLIKE per horizon, averaged over symbols and for each, verdicts, paths."""
    symbols: dict[str, dict[str, Any]] = {
        outcome.symbol: {
            "horizons": {str(score.horizon): qlike_row(score) for score in outcome.scorecard.horizons},
            "verdict": verdict_of(outcome),
        }
        for outcome in outcomes
    }
    return {
        "run": str(folder.path),
        "report": str(folder.path / "report.html"),
        "horizons": _averages([row["horizons"] for row in symbols.values()]),
        "symbols": symbols,
    }


def qlike_row(score: HorizonScore) -> dict[str, Any]:
    """QLIKE of the network and the baselines at one horizon, with the ends of their intervals."""
    if score.volatility is None:
        return {"qlike": {}, "low": {}, "high": {}, "ratio": None, "num_independent": score.num_independent}
    intervals = {"network": score.volatility.qlike}
    intervals |= {baseline.name: baseline.qlike for baseline in score.volatility.baselines}
    return {
        "qlike": {name: interval.mean for name, interval in intervals.items()},
        "low": {name: interval.low for name, interval in intervals.items()},
        "high": {name: interval.high for name, interval in intervals.items()},
        "ratio": next(b.ratio for b in score.volatility.baselines if b.name == "base"),
        "num_independent": score.num_independent,
    }


def forecast_rows(forecast: Forecast) -> list[dict[str, Any]]:
    """One row per horizon of a forecast at one origin."""
    low, high = (int(np.abs(np.array(forecast.levels) - level).argmin()) for level in (0.1, 0.9))
    return [
        {
            "close_time": str(forecast.close_time[0].astype("datetime64[m]")).replace("T", " "),
            "horizon": str(horizon),
            "volatility": float(forecast.volatility[0, h]),
            "base_volatility": float(forecast.base_volatility[0, h]),
            "prob_up": float(forecast.prob_up[0, h]),
            "expected_return": float(forecast.expected_return[0, h]),
            "low": float(forecast.quantiles[0, h, low]),
            "high": float(forecast.quantiles[0, h, high]),
        }
        for h, horizon in enumerate(forecast.horizons)
    ]


def runs_table(runs: Path) -> list[dict[str, Any]]:
    """All runs side by side, newest first: state, seed, network / base per horizon, money."""
    return [_run_row(folder) for folder in list_runs(runs)]


def _run_row(folder: RunFolder) -> dict[str, Any]:
    row: dict[str, Any] = {"run": folder.name, "state": "damaged"}
    try:
        row |= {"state": folder.state.value, "seed": folder.about.get("seed")}
        return row | (_figures(folder) if folder.state is State.COMPLETE else {})
    except (RunError, KeyError, TypeError, StopIteration):
        return {"run": folder.name, "state": "damaged"}


def _figures(folder: RunFolder) -> dict[str, Any]:
    """Network over base per horizon, and money, of a complete run's first symbol."""
    first = next(iter(folder.read_json("metrics.json").values()))
    row: dict[str, Any] = {}
    for score in first["scorecard"]["horizons"]:
        baselines = (score["volatility"] or {"baselines": []})["baselines"]
        row[f"{RATIO}{score['horizon']}"] = next((b["ratio"] for b in baselines if b["name"] == "base"), None)
    return row | {"return": first["strategy"]["total_return"], "hold": first["buy_and_hold"]["total_return"]}


def _averages(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean QLIKE over the symbols that have labels, per horizon and model."""
    averaged = {}
    for horizon in rows[0] if rows else ():
        known = [row[horizon]["qlike"] for row in rows if row[horizon]["qlike"]]
        names = known[0] if known else ()
        averaged[horizon] = {name: sum(row[name] for row in known) / len(known) for name in names}
    return averaged
