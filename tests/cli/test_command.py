"""The command as its user meets it: in a process of its own, in an empty folder."""

import json
import shutil
import signal
import subprocess
import sys
import time

import polars as pl
import pytest

from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.store.store import Store
from polyscale.store.upkeep import pins, replace_file, vacuum, verify
from tests.pipeline.small import small

COMMAND = [sys.executable, "-m", "polyscale"]
IMPORT = ("import", "btc.parquet", "--symbol", "btcusdt", "--timeframe", "15m", "--label", "open")
STORED = "market: {symbols: [BTCUSDT]}"


def polyscale(*words, folder, check=0):
    done = subprocess.run(
        [*COMMAND, *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == check, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a bar file, a funding file, a config, and a complete run of them."""
    folder = tmp_path_factory.mktemp("user")
    bars = simulate_bars(SimulationSettings(days=40, timeframe=Timeframe(15), seed=3))
    opens = pl.col("close_time") - pl.duration(minutes=15)
    bars.with_columns(open_time=opens).drop("close_time").write_parquet(folder / "btc.parquet")
    stamps = bars.filter(pl.col("close_time").dt.epoch("ms") % (8 * 3_600_000) == 0)
    stamps.select(time="close_time", funding_rate=pl.lit(1e-4)).write_csv(folder / "funding.csv")
    market = next(line for line in small().splitlines() if line.startswith("market:"))
    (folder / "small.yaml").write_text(small().replace(market, STORED))
    polyscale(
        "import", "btc.parquet", "--symbol", "btcusdt", "--timeframe", "15m", "--label", "open", folder=folder
    )
    polyscale("import", "funding.csv", "--kind", "funding", "--symbol", "BTCUSDT", folder=folder)
    polyscale("run", "--config", "small.yaml", folder=folder)
    return folder


def test_importing_the_same_file_twice_changes_nothing(folder):
    words = (
        "import",
        "btc.parquet",
        "--symbol",
        "BTCUSDT",
        "--timeframe",
        "15m",
        "--label",
        "open",
        "--json",
    )
    told = json.loads(polyscale(*words, folder=folder).stdout)
    assert (told["inserted"], told["updated"], told["unchanged"]) == (0, 0, 3_840)


def test_bars_shows_what_the_store_holds(folder):
    (held,) = json.loads(polyscale("bars", "--json", folder=folder).stdout)
    assert held["symbol"] == "BTCUSDT"
    assert (held["rows"], held["missing_bars"]) == (3_840, 0)
    assert "3,840" in polyscale("bars", folder=folder).stdout


def test_run_ends_with_one_json_object(folder):
    done = polyscale("run", "--config", "small.yaml", "--json", folder=folder)
    told = json.loads(done.stdout)
    assert set(told["horizons"]["1h"]) == {"network", "base", "log-HAR", "last value"}
    assert (folder / told["report"]).is_file()
    assert (folder / told["run"] / "model.safetensors").is_file()
    assert told["audit"] == {"clean": True, "leaks": []}
    assert "Look-ahead audit: clean" in (folder / told["report"]).read_text()


def test_a_run_is_audited_in_full_and_its_badge_says_so(folder):
    report = next((folder / "runs").glob("*/report.html"))  # other tests make runs in this folder, too
    done = polyscale("audit", report.parent.name, "--cuts", "9", folder=folder)
    assert done.stdout.startswith("clean: nothing found")
    assert "9 cuts, every row at three of them" in report.read_text()


def test_a_test_too_short_for_intervals_is_told_and_not_a_fault(folder):
    """One-day labels in a few days of test: three independent ones give no interval, none gives no figure."""
    text = (folder / "small.yaml").read_text().replace("horizons: [1h, 4h]", "horizons: [1h, 1d]")
    text = text.replace("horizon: 4h", "horizon: 1h").replace("validate_share: 0.2", "validate_share: 0.3")
    (folder / "short.yaml").write_text(text)
    table = polyscale("run", "--config", "short.yaml", folder=folder).stdout.split("\n- ")[0]
    assert table.count("[no interval]") == 3
    (folder / "none.yaml").write_text(text.replace("train_share: 0.6", "train_share: 0.685"))
    assert "not judged" in polyscale("run", "--config", "none.yaml", folder=folder).stdout


def test_the_stored_funding_is_charged(folder):
    told = json.loads(polyscale("backtest", "last", "--json", folder=folder).stdout)
    assert told["BTCUSDT"]["strategy"]["funding_source"] == "stored"


def test_what_a_run_read_stays_readable_past_revisions_and_a_vacuum(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "user")
    store = Store(tmp_path / "user" / "store")
    words = ("backtest", min(pins(store)), "--json")
    before = polyscale(*words, folder=tmp_path / "user").stdout
    [(market, timeframe)] = store.series()
    bars = store.read_bars(market, timeframe)
    for more in (1, 2):
        store.write_bars(market, timeframe, bars.with_columns(volume=pl.col("volume") + more))
    assert vacuum(store, retention_hours=0) == 1  # the file between the pinned version and the newest
    assert polyscale(*words, folder=tmp_path / "user").stdout == before


def test_run_is_traded_again_on_bars_that_were_brought_back(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "user")
    store = Store(tmp_path / "user" / "store")
    words = ("backtest", min(pins(store)), "--json")
    before = polyscale(*words, folder=tmp_path / "user").stdout
    [(market, timeframe)] = store.series()
    bars = store.read_bars(market, timeframe)
    next((tmp_path / "user" / "store" / "bars").rglob("*.parquet")).unlink()
    polyscale(*words, folder=tmp_path / "user", check=1)
    [damage] = verify(store)
    replace_file(store, damage, bars)
    assert polyscale(*words, folder=tmp_path / "user").stdout == before


def test_predict_and_backtest_and_runs_show_tables(folder):
    assert "forecast made at 2025-02-10 00:00 UTC" in polyscale("predict", folder=folder).stdout
    assert "sharpe_ratio" in polyscale("backtest", folder=folder).stdout
    assert "complete" in polyscale("runs", folder=folder).stdout


def test_a_killed_training_resumes_and_ends_in_the_same_weights(folder):
    text = (folder / "small.yaml").read_text().replace("epochs: 2", "epochs: 30, patience: 30")
    (folder / "long.yaml").write_text(text)
    runs = folder / "killed"
    words = ("train", "--config", "long.yaml", "--runs", str(runs))
    process = subprocess.Popen([*COMMAND, *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list(runs.glob("*/checkpoints/last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (killed,) = runs.iterdir()
    assert not (killed / "model.safetensors").exists()
    polyscale("predict", killed.name, "--runs", str(runs), folder=folder, check=1)
    polyscale("train", "--resume", "last", "--runs", str(runs), folder=folder)
    polyscale("train", "--config", "long.yaml", "--runs", "whole", folder=folder)
    (whole,) = (folder / "whole").iterdir()
    assert (killed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_an_interrupted_training_says_how_to_go_on(folder):
    words = ("train", "--config", "long.yaml", "--runs", "stopped")
    (folder / "long.yaml").write_text(
        (folder / "small.yaml").read_text().replace("epochs: 2", "epochs: 300, patience: 300")
    )
    process = subprocess.Popen([*COMMAND, *words], cwd=folder, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(folder.glob("stopped/*/checkpoints/last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    told = process.communicate()[1]
    assert process.returncode == 1
    assert "error: training must run to its end, it was interrupted after" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("run", "--config", "nope.yaml"), "nope.yaml: config must be a readable YAML file"),
        (("run", "--config", "small.yaml", "--resume", "last"), "must be given, got both"),
        (("run", "--config", "small.yaml", "--runs", "small.yaml"), "runs need a folder that can be written"),
        (("train",), "either --config FILE or --resume RUN must be given, got neither"),
        (("import", "btc.parquet", "--symbol", "X"), "import of bars needs --timeframe"),
        (("import", "btc.parquet", "--symbol", "X", "--timeframe", "15m"), "needs --label open|close"),
        (("import", "none.csv", "--symbol", "X", "--timeframe", "15m", "--label", "open"), "none.csv"),
        (("import", "btc.parquet", "--symbol", "X", "--timeframe", "1h", "--label", "open"), "1h"),
        (("predict", "nope"), "run.json, found none"),
        (("train", "--resume", "last"), "holds no run that is training or trained"),
        (("bars", "--gaps", "NOPE"), "the store must hold bars of NOPE"),
        (("import", "btc.parquet", "--symbol", "X", "--column", "x"), "--column must be NAME=NAME_IN_FILE"),
    ],
)
def test_mistakes_get_one_line_and_exit_status_1(folder, words, told):
    done = polyscale(*words, folder=folder, check=1)
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert told in done.stderr


def test_a_symbol_that_is_not_stored_is_told_with_what_is(folder):
    text = (folder / "small.yaml").read_text().replace("BTCUSDT", "ETHUSDT")
    (folder / "eth.yaml").write_text(text)
    told = polyscale("run", "--config", "eth.yaml", folder=folder, check=1).stderr
    assert "ETHUSDT" in told
    assert "BTCUSDT" in told


def test_help_shows_examples(folder):
    assert "Example" in polyscale("run", "--help", folder=folder).stdout
    assert "polyscale import" in polyscale("import", "--help", folder=folder).stdout
    assert polyscale("--version", folder=folder).stdout == "polyscale 0.1.0\n"


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, polyscale; print(sorted({'torch', 'polars', 'numpy', 'lightning'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
