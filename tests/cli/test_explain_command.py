"""``polyscale explain`` as its user meets it."""

import json

import pytest

from tests.cli.test_command import polyscale
from tests.pipeline.small import small


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("user")
    (folder / "small.yaml").write_text(small())
    polyscale("train", "--config", "small.yaml", folder=folder)
    return folder


def test_scales_and_features_are_told_as_tables(folder):
    told = polyscale("explain", "last", "--top", "2", folder=folder).stdout
    assert "the forecast without a scale" in told
    assert "inputs of the origin" in told
    assert "no rank correlation, a rank correlation needs >= 3 numbers, got 2" in told
    features = told[told.index("with a feature at its median") :]
    assert sum(line.startswith("│ 1h ") for line in features.splitlines()) == 2


def test_scales_and_features_are_told_as_json(folder):
    (told,) = json.loads(polyscale("explain", "--json", folder=folder).stdout)
    assert [scale["scale"] for scale in told["scales"]] == ["15m", "1h"]
    assert told["features"][0]["effects"][0]["shift"] > 0


def test_attention_at_a_time_is_told(folder):
    words = ("explain", "last", "--at", "2025-02-03 12:00", "--at", "2025-02-03T13:15")
    assert "2025-02-03 13:15" in polyscale(*words, folder=folder).stdout
    first, second = json.loads(polyscale(*words, "--json", folder=folder).stdout)
    assert (first["close_time"], second["close_time"]) == ("2025-02-03 12:00", "2025-02-03 13:15")
    read = first["across"]["15m"]
    assert sum(sum(states) for states in read.values()) == pytest.approx(1, abs=1e-5)
    assert sum(first["within"]["1h"][0]) == pytest.approx(1, abs=1e-5)


def test_a_time_without_a_forecast_is_refused(folder):
    done = polyscale("explain", "--at", "2025-02-03 12:01", folder=folder, check=1)
    assert "maps need closes of base bars with a forecast" in done.stderr
