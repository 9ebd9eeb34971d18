"""The report of a walk-forward, out of what its folder holds: nothing is computed anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polyscale.config.run_config import RunConfig
from polyscale.dataset.folds import folds
from polyscale.pipeline.run import read_run_config
from polyscale.report.walk.page import WalkReport, render_walk
from polyscale.report.walk.results import results_from
from polyscale.runs.folder import RunFolder


def write_walk_report(folder: RunFolder) -> Path:
    """Render report.html out of evaluation.json, config.yaml and run.json.

    Raises
    ------
    RunError
        If the evaluation has not come to its end, or the folder is damaged.
    """
    return folder.write_text("report.html", walk_page(folder))


def walk_page(folder: RunFolder) -> str:
    """The page of a finished evaluation."""
    config, results = read_run_config(folder), results_from(folder.read_json("evaluation.json"))
    walk = config.walk_forward
    assert walk is not None
    costs = config.backtest
    return render_walk(
        WalkReport(
            title=f"{config.name}: walk-forward",
            results=results,
            simulated=config.market.simulation is not None,
            num_folds=len(folds(walk)),
            num_seeds=walk.seeds,
            round_trip_bps=2 * (costs.fee_bps + costs.slippage_bps),
            provenance={"evaluation": folder.name, **_walked(config), **_facts(folder.about)},
            config_yaml=folder.read_text("config.yaml"),
        )
    )


def _walked(config: RunConfig) -> dict[str, object]:
    """What was fitted and tested, in the words of the config."""
    walk = config.walk_forward
    assert walk is not None
    learned = [
        f"{each.venue}/{each.category}: {', '.join(each.symbols)}" for each in config.market.learn_from
    ]
    return {
        "symbols": ", ".join(config.market.symbols),
        **({"also learned from": "; ".join(learned)} if learned else {}),
        **({"left out of training": ", ".join(walk.leave_out)} if walk.leave_out else {}),
        "folds, by first day tested": ", ".join(fold.name for fold in folds(walk)),
        "validation": f"{walk.validate_days} days before each test",
        "training": "all bars before validation"
        if walk.window_days is None
        else f"{walk.window_days} days before validation",
        "seeds": ", ".join(str(seed) for seed in range(config.seed, config.seed + walk.seeds)),
    }


def _facts(about: dict[str, Any]) -> dict[str, object]:
    """run.json without what is said elsewhere, the data's version and its hashes on lines of their own."""
    data = dict(about.get("data", {}))
    hashes = data.pop("sha256", None)
    kept = {key: value for key, value in about.items() if key not in ("state", "seed", "data")}
    return {**kept, "data version": data or None, "sha256 of the bars": hashes}
