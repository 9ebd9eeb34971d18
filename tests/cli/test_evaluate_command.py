import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from polyscale.cli import evaluate_command
from polyscale.cli.main import app
from polyscale.evaluation.baselines.registry import BASELINES
from polyscale.market.errors import ConfigError
from tests.pipeline.walk_market import CONFIG

COMMAND = [sys.executable, "-m", "polyscale", "evaluate", "--jobs", "1"]


def evaluate(*words, folder):
    done = subprocess.run(
        [*COMMAND, *words], cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_evaluate_ends_in_a_report_and_says_where(tmp_path):
    (tmp_path / "walk.yaml").write_text(CONFIG)
    told = json.loads(
        evaluate(
            "-c", "walk.yaml", "--seeds", "1", "--baseline", "BASE", "--leave-out", "BBB", "--json",
            folder=tmp_path,
        )
    )  # fmt: skip
    page = tmp_path / told["report"]
    assert page.read_text().startswith("<!doctype html>")
    page.unlink()
    assert told["against"][0] == "base"
    lines = evaluate("--resume", "last", folder=tmp_path).splitlines()
    assert "against the base, by symbol" in lines
    assert lines[-2].startswith("shown against base")
    assert lines[-2].endswith(": no edge")
    assert lines[-1] == f"report: {told['report']}"
    assert "left out of training</td><td>BBB</td>" in page.read_text()


def found(rivals, horizons=("1h", "4h")):
    """What an evaluation ends with: one symbol, rivals by horizon."""
    rows = [{name: {"qlike": {"ratio": 0.5}} for name in names} for names in rivals]
    baselines = [{"name": name} for name in ("last value", "log-HAR", "base") if name in rivals[0]]
    scores = [{"volatility": {"baselines": baselines}}, {"volatility": None}]
    return {
        "horizons": list(horizons),
        "averages": [{"network": {}, **{name: {"qlike_ratio": 0.25} for name in names}} for names in rivals],
        "symbols": {
            "AAA": {"standings": [{"models": row} for row in rows], "scorecard": {"horizons": scores}}
        },
        "ablations": {},
        "claims": [
            {"name": "volatility AAA 1h", "shown": True},
            {"name": "direction AAA 1h", "shown": False},
        ],
    }


def test_rivals_of_every_horizon_are_told_and_whom_claims_must_beat(capsys):
    evaluate_command._show(found([["base", "log-HAR", "last value"], ["base", "ridge"]]))
    told = capsys.readouterr().out
    ridge = next(line for line in told.splitlines() if "ridge" in line)
    assert ridge.count("0.250") == 1
    assert "against the base, by symbol" in told
    assert told.splitlines()[-1] == "shown against base, log-HAR and last value: volatility AAA 1h"


def test_without_the_base_no_table_is_held_against_it(capsys):
    evaluate_command._show(found([["ridge"], ["ridge"]]))
    told = capsys.readouterr().out
    assert "by symbol" not in told
    assert told.splitlines()[-1] == "shown: volatility AAA 1h"


def test_help_names_the_baselines_of_the_registry():
    assert tuple(BASELINES) == evaluate_command.BASELINES
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["evaluate", "--help"]).output
    words = " ".join(shown.replace("│", " ").split())
    assert all(name in words for name in BASELINES)


def test_choices_beside_resume_are_refused():
    words = [
        "evaluate",
        "--resume",
        "last",
        "--seeds",
        "1",
        "--ablate",
        "--baseline",
        "base",
        "--leave-out",
        "X",
    ]
    with pytest.raises(
        ConfigError, match="got --baseline, --ablate, --leave-out, --seeds as well; leave them out, or begin"
    ):
        CliRunner().invoke(app, words, catch_exceptions=False)
    with pytest.raises(ConfigError, match="got --seeds as well"):
        CliRunner().invoke(app, words[:5], catch_exceptions=False)
    with pytest.raises(ConfigError, match=r"either --config or --resume must be given, got --config None"):
        CliRunner().invoke(app, ["evaluate"], catch_exceptions=False)
