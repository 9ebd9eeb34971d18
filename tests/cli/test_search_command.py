"""``polyscale search`` as its user meets it."""

import json

import pytest

from polyscale.config.run_config import read_config
from tests.cli.test_command import polyscale
from tests.pipeline.small import small

SPACE = "training.learning_rate: {low: 0.001, high: 0.05, log: true}\nnetwork.d_model: {choices: [8, 12]}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("user")
    (folder / "small.yaml").write_text(small())
    (folder / "space.yaml").write_text(SPACE)
    return folder


def test_a_search_is_told_as_a_table_and_goes_on(folder):
    words = ("search", "--config", "small.yaml", "--space", "space.yaml", "--trials", "2", "--jobs", "2")
    done = polyscale(*words, folder=folder)
    assert "2 trials, best val_loss first; the test was not looked at" in done.stdout
    assert "training.learning_rate" in done.stdout
    assert "trial 2: val_loss" in done.stderr
    (search,) = (folder / "searches").iterdir()
    assert f"best: searches/{search.name}/best.yaml" in done.stdout
    told = json.loads(
        polyscale("search", "--resume", "last", "--trials", "3", "--json", folder=folder).stdout
    )
    assert told["num_trials"] == len(told["trials"]) == 3
    assert told["best"]["val_loss"] == min(trial["val_loss"] for trial in told["trials"])
    best = read_config(folder / told["config"])
    assert best.training.learning_rate == told["best"]["values"]["training.learning_rate"]
    assert best.network.d_model == told["best"]["values"]["network.d_model"]


def test_what_is_missing_or_wrong_is_said_in_one_line(folder):
    done = polyscale("search", "--config", "small.yaml", folder=folder, check=1)
    assert "either --config FILE and --space FILE must be given" in done.stderr
    (folder / "bad.yaml").write_text("training.epoch: {low: 1, high: 2}\n")
    done = polyscale("search", "--config", "small.yaml", "--space", "bad.yaml", folder=folder, check=1)
    assert "bad.yaml: training.epoch: unknown key of the config; did you mean training.epochs" in done.stderr
