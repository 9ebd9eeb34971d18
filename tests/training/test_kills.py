"""A training whose process is killed at random moments ends in the weights of one that was left alone."""

import multiprocessing
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from safetensors import safe_open

from polyscale.training.progress import LAST
from tests.pipeline.small import small
from tests.training.small import SETTINGS, parts_of
from tests.training.train_once import PLACES, train

EPOCHS = 4


@pytest.fixture(scope="module")
def processes():
    """Processes forked from one that has loaded torch and has done nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.train_once"])
    return context


@pytest.fixture(scope="module")
def parts(prepared, tmp_path_factory):
    settings = SETTINGS.model_copy(update={"epochs": EPOCHS, "stretches_per_batch": 1, "patience": 2})
    path = tmp_path_factory.mktemp("parts") / "parts.pickle"
    path.write_bytes(pickle.dumps((*parts_of(prepared), prepared[2].spec, settings, 1)))
    return path


@pytest.fixture(scope="module")
def left_alone(processes, parts, tmp_path_factory):
    """What an uninterrupted training gives, and how long one takes."""
    folder = tmp_path_factory.mktemp("alone")
    begin = time.monotonic()
    assert complete(processes, parts, folder) == 0
    return outcome(folder), time.monotonic() - begin


def started(processes, parts, folder, *death):
    process = processes.Process(target=train, args=(parts, folder / "checkpoints", folder / "out", *death))
    process.start()
    return process


def complete(processes, parts, folder, *death):
    process = started(processes, parts, folder, *death)
    process.join(timeout=120)
    return process.exitcode


def killed_after(processes, parts, folder, seconds):
    process = started(processes, parts, folder)
    process.join(timeout=seconds)
    process.kill()
    process.join()
    return process.exitcode


def outcome(folder):
    with safe_open(folder / "out", framework="pt") as kept:
        return kept.metadata()["history"], {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118


def check_same(folder, expected):
    history, weights = outcome(folder)
    assert history == expected[0]
    assert all(value.equal(weights[name]) for name, value in expected[1].items())
    left = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert left == [LAST]


def test_a_kill_while_a_checkpoint_is_written_loses_nothing(processes, parts, left_alone, tmp_path):
    assert complete(processes, parts, tmp_path, "writing", 1) == -signal.SIGKILL
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {LAST, LAST + ".new"}
    assert complete(processes, parts, tmp_path) == 0
    check_same(tmp_path, left_alone[0])


def test_a_kill_before_the_first_checkpoint_begins_again(processes, parts, left_alone, tmp_path):
    assert complete(processes, parts, tmp_path, "writing", 0) == -signal.SIGKILL
    assert not (tmp_path / "checkpoints" / LAST).exists()
    assert complete(processes, parts, tmp_path) == 0
    check_same(tmp_path, left_alone[0])


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_twenty_random_kills_lose_nothing(processes, parts, left_alone, tmp_path, number):
    """Half by the clock, half at a place of the training; some trainings are killed again after a resume."""
    moments, kills = random.Random(number), 0
    while kills == 0 or (moments.random() < 0.3 and not (tmp_path / "out").exists()):
        if number % 2:
            code = killed_after(processes, parts, tmp_path, moments.uniform(0, 0.95) * left_alone[1])
        else:
            place = sorted(PLACES)[(number // 2 + kills) % len(PLACES)]
            code = complete(processes, parts, tmp_path, place, moments.randrange(EPOCHS))
        assert code in {0, -signal.SIGKILL}
        kills += code == -signal.SIGKILL
        if code == 0 and kills == 0:  # it was done before its time
            shutil.rmtree(tmp_path / "checkpoints")
    assert complete(processes, parts, tmp_path) == 0
    check_same(tmp_path, left_alone[0])


@pytest.mark.slow
def test_a_run_that_is_killed_early_and_late_ends_in_the_same_model(tmp_path):
    """The command: killed with a folder but no checkpoint, then with one; resumed twice."""
    (tmp_path / "small.yaml").write_text(small().replace("epochs: 2", "epochs: 8"))

    def command(*words):
        words = (sys.executable, "-m", "polyscale", "train", *words, "--runs")
        return subprocess.Popen((*words, str(tmp_path / "killed")), cwd=tmp_path, stderr=subprocess.DEVNULL)

    for words, sign in ((("--config", "small.yaml"), "*/run.json"), (("--resume", "last"), f"*/*/{LAST}")):
        with command(*words) as process:
            while not list((tmp_path / "killed").glob(sign)) and process.poll() is None:
                time.sleep(0.002)
            process.kill()
        assert process.returncode == -signal.SIGKILL
    with command("--resume", "last") as process:
        assert process.wait(timeout=120) == 0
    alone = [sys.executable, "-m", "polyscale", "train", "--config", "small.yaml", "--runs", "alone"]
    subprocess.run(alone, cwd=tmp_path, check=True, capture_output=True)
    (killed,), (alone,) = (list(tmp_path.glob(f"{runs}/*/model.safetensors")) for runs in ("killed", "alone"))
    assert killed.read_bytes() == alone.read_bytes()
    assert (killed.parent / "history.json").read_text() == (alone.parent / "history.json").read_text()
