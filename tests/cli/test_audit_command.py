"""``polyscale audit`` as its user meets it."""

import json

import pytest

from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from tests.cli.test_command import polyscale

STAGES = """
import polars as pl

def centred(bars):
    return bars.select("close_time", smooth=pl.col("close").rolling_mean(7, center=True))

def leaver(bars):
    raise SystemExit(0)

def talker(bars):
    print("hello")
    return trailing(bars)

def trailing(bars):
    return bars.select("close_time", smooth=pl.col("close").rolling_mean(7))
"""
BARS = ("--file", "x.parquet", "--timeframe", "5m", "--label", "close")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("user")
    bars = simulate_bars(SimulationSettings(days=10, timeframe=Timeframe(5), seed=3))
    bars.write_parquet(folder / "x.parquet")
    (folder / "mine.py").write_text(STAGES)
    (folder / "broken.py").write_text("raise ValueError('no')")
    return folder


def test_a_leak_is_named_and_ends_with_status_1(folder):
    told = polyscale("audit", "--stage", "mine.py:centred", *BARS, folder=folder, check=1).stdout
    assert "smooth" in told
    assert "bars.close" in told
    assert "15m (3 bars)" in told


def test_what_is_causal_is_clean_and_ends_with_status_0(folder):
    words = ("--warm-up", "7", "--cuts", "12", "--json")
    done = polyscale("audit", "--stage", "mine.py:trailing", *BARS, *words, folder=folder)
    assert json.loads(done.stdout)["clean"]


def test_what_a_stage_prints_is_no_part_of_the_answer(folder):
    done = polyscale(
        "audit", "--stage", "mine.py:talker", *BARS, "--cuts", "4", "--warm-up", "7", "--json", folder=folder
    )
    assert json.loads(done.stdout)["clean"]
    assert "hello" in done.stderr


def test_the_museum_shows_that_fifteen_leaks_are_caught(folder):
    rows = json.loads(polyscale("audit", "--museum", "--json", folder=folder).stdout)
    assert len(rows) == 15
    assert all(row["caught"] and row["repaired_clean"] for row in rows)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("--stage", "mine.py:nope", *BARS),
            "must hold the function 'nope', it has ['centred', 'leaver', 'talker', 'trailing']",
        ),
        (("--stage", "mine.py", *BARS), "--stage must be FILE.py:FUNCTION"),
        (("--stage", "broken.py:x", *BARS), "must be a program that runs, it raised ValueError: no"),
        (("--stage", "mine.py:centred"), "--stage needs --timeframe and either --symbol"),
        (("--stage", "mine.py:centred", *BARS[:4]), "--file needs --label open or --label close"),
        (("--stage", "mine.py:leaver", *BARS), "a stage must not end the program, it called exit(0)"),
        (BARS, "belong to --stage; give it too"),
        (("last", "--museum"), "give one of: a run, --stage"),
        (("last",), "holds no run that is trained or complete"),
    ],
)
def test_mistakes_get_one_line_and_exit_status_1(folder, words, told):
    errors = polyscale("audit", *words, folder=folder, check=1).stderr.splitlines()
    assert told in errors[-1]
    assert errors[-1].startswith("error: ")


def test_features_are_listed_by_group(folder):
    rows = json.loads(polyscale("features", "--group", "jumps", "--json", folder=folder).stdout)
    assert {row["group"] for row in rows} == {"jumps"}
    assert "bipower" in polyscale("features", folder=folder).stdout
    told = polyscale("features", "--group", "nope", folder=folder, check=1).stderr
    assert "--group must be one of" in told
