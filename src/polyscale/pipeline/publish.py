"""The report of a run, out of what its folder and its outcomes hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polyscale.config.run_config import RunConfig
from polyscale.pipeline.tell import verdict_of
from polyscale.report.page import PortfolioReport, ReportInput, SymbolReport, render
from polyscale.runs.folder import RunFolder


def write_report(
    folder: RunFolder,
    config: RunConfig,
    outcomes: Sequence[SymbolReport],
    portfolio: PortfolioReport | None = None,
) -> Path:
    """Render report.html."""
    page = render(
        ReportInput(
            title=f"{config.name}: {', '.join(outcome.symbol for outcome in outcomes)}",
            verdict=_verdicts(outcomes),
            simulated=config.market.simulation is not None,
            symbols=outcomes,
            provenance={"run": folder.name, **_facts(folder.about)},
            config_yaml=folder.read_text("config.yaml"),
            history=folder.read_json("history.json"),
            audit=folder.read_json("audit.json") if (folder.path / "audit.json").is_file() else None,
            portfolio=portfolio,
        )
    )
    return folder.write_text("report.html", page)


def _facts(about: dict[str, Any]) -> dict[str, object]:
    """run.json without its state, which is not yet the last one while the page is written."""
    return {key: value for key, value in about.items() if key != "state"}


def _verdicts(outcomes: Sequence[SymbolReport]) -> list[str]:
    """Each symbol's verdict; its name before it where there are several."""
    if len(outcomes) == 1:
        return verdict_of(outcomes[0])
    return [f"{outcome.symbol}: {sentence}" for outcome in outcomes for sentence in verdict_of(outcome)]
