"""The chapter's quick start, line by line, against an exchange on this machine."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from polyscale.cli.main import app
from polyscale.exchange import bybit_client
from tests.replay.market import BTC, DAY_MS, FIRST_MS, M1, bars_of, exchange_of
from tests.replay.running import running

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder as after `git clone`, and a command whose exchange is on loopback."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "configs").symlink_to(ROOT / "configs")
    with (
        running(exchange_of(FIRST_MS + 30 * DAY_MS, {(BTC, M1): bars_of(30)}, limited=False)) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.chdir(folder)
        patch.setenv("POLYSCALE_BYBIT_URL", server.url)
        patch.setitem(bybit_client.KNOWN_VENUES, server.url, "bybit")

        def polyscale(line):
            return CliRunner().invoke(app, line.split())

        yield polyscale


@pytest.fixture(scope="module")
def trained(desk):
    """Candles are fetched and a model is trained."""
    fetched = desk("fetch --symbol BTCUSDT --days 30")
    assert fetched.exit_code == 0, fetched.output
    done = desk("train --config configs/default.yaml --epochs 1 --batch-size 4096 --runs checkpoints --json")
    assert done.exit_code == 0, done.output
    return Path(json.loads(done.stdout)["run"])


def test_a_model_is_trained_with_the_epochs_and_the_batch_that_were_said(trained):
    kept = (trained / "config.yaml").read_text()
    assert "epochs: 1\n" in kept
    assert "stretch: 1024\n" in kept
    assert len(json.loads((trained / "history.json").read_text())) == 1


def test_a_model_is_backtested_by_its_folder_a_file_in_it_or_as_the_last(desk, trained):
    told = [
        json.loads(desk(f"backtest --model {model} --json").stdout)
        for model in ("checkpoints/last", trained, trained / "model.safetensors")
    ]
    assert told[0]["BTCUSDT"]["strategy"]["n_trades"] >= 0
    assert told[0] == told[1] == told[2]


def test_a_model_that_is_not_there_is_named(desk, trained):
    done = desk("backtest --model checkpoints/best_model.pt")
    assert done.exit_code == 1
    assert "best_model.pt" in str(done.exception)


def test_changes_do_not_go_with_a_run_that_is_resumed(desk, trained):
    done = desk("train --resume last --runs checkpoints --epochs 3 --batch-size 64")
    assert done.exit_code == 1
    assert "--epochs, --batch-size must go with --config" in str(done.exception)


def test_requirements_are_those_of_make():
    lines = [
        line for line in (ROOT / "requirements.txt").read_text().splitlines() if line[:1] not in ("", "#")
    ]
    torch = re.search(r"^TORCH := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert torch is not None
    assert lines == [torch.group(1), "-r requirements.lock", "-e ."]
