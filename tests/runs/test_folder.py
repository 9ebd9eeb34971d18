import json

import pytest

from polyscale.market.errors import RunError
from polyscale.runs.folder import RunFolder, State, find_run, list_runs


def make(root, name="x"):
    return RunFolder.create(root, name, "name: x\n", {"seed": 3})


def test_a_new_run_knows_its_config_and_that_it_trains(tmp_path):
    folder = RunFolder.open(make(tmp_path).path)
    assert folder.state is State.TRAINING
    assert folder.about["seed"] == 3
    assert folder.read_text("config.yaml") == "name: x\n"
    folder.set_state(State.COMPLETE)
    assert folder.state is State.COMPLETE


def test_two_runs_of_one_second_have_folders_of_their_own(tmp_path):
    assert len({make(tmp_path).path for _ in range(5)}) == 5
    assert len(list_runs(tmp_path)) == 5


def test_runs_are_found_by_path_id_and_as_the_last(tmp_path):
    folder = make(tmp_path)
    for name in (str(folder.path), folder.name, "last"):
        assert find_run(tmp_path, name).path == folder.path


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"format": 99}, "run format must be <= 1, got 99; update polyscale"),
        ({"format": "x"}, "format must be a number >= 1, got 'x'"),
        ([], "must hold an object, got list"),
    ],
)
def test_a_newer_or_damaged_run_is_refused(tmp_path, content, words):
    folder = make(tmp_path)
    (folder.path / "run.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=words):
        RunFolder.open(folder.path)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"must hold run.json, found none; `polyscale runs`"):
        find_run(tmp_path, "nope")
    with pytest.raises(RunError, match="holds no run that is"):
        find_run(tmp_path, "last")


def test_last_passes_over_runs_that_have_not_come_so_far_or_are_damaged(tmp_path):
    complete, cut_off, damaged = (make(tmp_path) for _ in range(3))
    complete.set_state(State.COMPLETE)
    (damaged.path / "run.json").write_text("{")
    assert find_run(tmp_path, "last", (State.COMPLETE,)).path == complete.path
    assert find_run(tmp_path, "last", (State.TRAINING,)).path == cut_off.path


def test_an_unknown_state_is_damage(tmp_path):
    folder = make(tmp_path)
    folder.write_json("run.json", {"format": 1, "state": "?"})
    with pytest.raises(
        RunError, match=r"state must be one of \['training', 'trained', 'complete'\], got '\?'"
    ):
        _ = folder.state


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="runs need a folder that can be written"):
        make(tmp_path / "file")


def test_broken_json_and_missing_files_are_named(tmp_path):
    folder = make(tmp_path)
    (folder.path / "metrics.json").write_text("{")
    with pytest.raises(RunError, match=r"metrics.json: must be JSON"):
        folder.read_json("metrics.json")
    with pytest.raises(RunError, match=r"history.json: cannot be read"):
        folder.read_json("history.json")


def test_a_number_that_is_not_finite_is_never_written(tmp_path):
    folder = make(tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.write_json("metrics.json", {"x": float("nan")})
    assert not (folder.path / "metrics.json").exists()
