import json
import subprocess
import sys

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
            "-c", "walk.yaml", "--seeds", "1", "--baseline", "base", "--leave-out", "BBB", "--json",
            folder=tmp_path,
        )
    )  # fmt: skip
    page = tmp_path / told["report"]
    assert page.read_text().startswith("<!doctype html>")
    page.unlink()
    assert evaluate("--resume", "last", folder=tmp_path).splitlines()[-1] == f"report: {told['report']}"
    assert "left out of training</td><td>BBB</td>" in page.read_text()
