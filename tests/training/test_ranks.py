"""Two processes train one network: torchrun over loopback, gloo."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from polyscale.model.network import MultiScaleAttention
from polyscale.pipeline.run import load_run
from polyscale.training.batches import Part, dealt, epoch_batches, load, ordered_batches, shared
from polyscale.training.fit import fit
from polyscale.training.loss import loss_parts
from polyscale.training.progress import LAST, EpochReport
from tests.pipeline.small import small
from tests.training.small import LEVELS, SETTINGS, parts_of, weights

ROOT = Path(__file__).parents[2]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def torchrun(*words, folder=ROOT, check=0):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [*TORCHRUN, *map(str, words)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.returncode != 0) == check, done.stderr[-4_000:]
    return done


def without_draws(prepared, **changes):
    """The arguments of `fit` for a training that draws nothing but its batches."""
    spec = prepared[2].spec
    encoders = tuple(each.model_copy(update={"dropout": 0.0}) for each in spec.settings.encoders)
    settings = spec.settings.model_copy(update={"encoders": encoders, "scale_dropout": 0.0})
    spec = spec.model_copy(update={"settings": settings})
    changes = {"level_noise": 0.0, "stretches_per_batch": 3, "epochs": 4, **changes}
    return *parts_of(prepared), spec, SETTINGS.model_copy(update=changes), 1


def outcome(folder, rank):
    with safe_open(folder / f"out.{rank}", framework="pt") as kept:
        history = [EpochReport(**report) for report in json.loads(kept.metadata()["history"])]
        return history, {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118


def test_shares_of_a_batch_are_the_batch(prepared):
    train, validate = parts_of(prepared)
    batches = epoch_batches(train, 128, 3, seed=1, epoch=0)
    shares = [shared(train, batches, rank, 2) for rank in (0, 1)]
    assert {len(share) for share in shares} == {len(batches)}
    padding = (0, len(train.panels[0].index))
    for batch, *mine in zip(batches, *shares, strict=True):
        assert sorted(batch) == sorted(where for share in mine for where in share if where != padding)
        assert all(mine)
    whole = ordered_batches(validate, 128, 3)
    assert [dealt(validate, whole, rank, len(whole) + 1) for rank in (0, len(whole))] == [
        [whole[0]],
        [[padding]],
    ]


def test_groups_are_shared_whole(prepared):
    train, _ = parts_of(prepared)
    group = Part(train.panels * 3, train.counted * 3, train.settings, grouped=True)
    (batch,) = epoch_batches(group, 1_024, 100, seed=1, epoch=0)
    shares = [shared(group, [batch], rank, 2)[0] for rank in (0, 1)]
    assert sorted(shares[0] + shares[1]) == sorted(batch)
    for share in shares:
        assert [i for i, _ in share] == [0, 1, 2] * (len(share) // 3)
        assert all(len({first for _, first in share[at : at + 3]}) == 1 for at in range(0, len(share), 3))
    assert shared(group, [batch[:3]], 1, 2) == [[(i, len(train.panels[0].index)) for i in range(3)]]


def test_padding_counts_nothing_and_moves_nothing(prepared):
    train, _ = parts_of(prepared)
    ((inputs, labels),) = load(train, [[(0, len(train.panels[0].index))]], 128)
    assert not labels.counted.any()
    network = MultiScaleAttention(prepared[2].spec)
    parts = loss_parts(network(inputs), labels, torch.tensor(LEVELS), torch.zeros(2))
    sum(part.sum() for part in parts).backward()
    assert all(bool((p.grad == 0).all()) for p in network.parameters() if p.requires_grad)


@pytest.mark.slow
def test_two_processes_train_the_network_that_one_trains(prepared, tmp_path):
    """Same stretches, the gradient of the whole batch: they part by rounding alone."""
    (tmp_path / "parts").write_bytes(pickle.dumps(without_draws(prepared)))
    torchrun("-m", "tests.training.train_ranks", tmp_path)
    (history, first), (others, second) = (outcome(tmp_path, rank) for rank in (0, 1))
    assert history == others
    assert first.keys() == second.keys()
    assert all(first[name].equal(second[name]) for name in first)
    network, alone = fit(*without_draws(prepared), tmp_path / "alone")
    for ours, theirs in zip(history, alone, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-5)
        assert ours.val_loss == pytest.approx(theirs.val_loss, rel=1e-5)
    for name, value in weights(network).items():
        torch.testing.assert_close(first[name], value, atol=2e-4, rtol=1e-3)


@pytest.mark.slow
def test_a_share_that_is_poisoned_is_skipped_by_both(prepared, tmp_path):
    """Only the second process meets it, at the third step."""
    (tmp_path / "parts").write_bytes(pickle.dumps(without_draws(prepared, epochs=2)))
    torchrun("-m", "tests.training.train_ranks", tmp_path, "0", "2")
    (history, first), (others, second) = (outcome(tmp_path, rank) for rank in (0, 1))
    assert history == others
    assert [report.skipped for report in history] == [1, 0]
    assert all(first[name].equal(second[name]) and first[name].isfinite().all() for name in first)


@pytest.mark.slow
def test_two_processes_that_were_cut_off_resume_to_the_same_weights(prepared, tmp_path):
    """With dropout and noise; the second process dies, torchrun ends the first."""
    arguments = *parts_of(prepared), prepared[2].spec, SETTINGS, 1
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "parts").write_bytes(pickle.dumps(arguments))
    torchrun("-m", "tests.training.train_ranks", tmp_path / "whole")
    torchrun("-m", "tests.training.train_ranks", tmp_path / "cut", "2", check=1)
    assert (tmp_path / "cut" / LAST).is_file()
    assert not (tmp_path / "cut" / "out.0").exists()
    torchrun("-m", "tests.training.train_ranks", tmp_path / "cut")
    expected = outcome(tmp_path / "whole", 0)
    for rank in (0, 1):
        history, found = outcome(tmp_path / "cut", rank)
        assert history == expected[0]
        assert all(value.equal(found[name]) for name, value in expected[1].items())


@pytest.mark.slow
def test_the_command_under_torchrun_makes_one_run_and_speaks_once(tmp_path):
    (tmp_path / "small.yaml").write_text(small())
    done = torchrun("-m", "polyscale", "train", "--config", "small.yaml", "--json", folder=tmp_path)
    (said,) = [line for line in done.stdout.splitlines() if line.startswith("{")]
    (run,) = (tmp_path / "runs").iterdir()
    assert json.loads(said) == {"run": f"runs/{run.name}"}
    assert done.stderr.count("epoch 1 of 2") == 1
    assert not (run / "checkpoints").exists()
    assert all(p.isfinite().all() for p in load_run(run).model.network.parameters())
    failed = torchrun("-m", "polyscale", "train", "--resume", "none", folder=tmp_path, check=1)
    assert "run folder must hold run.json" in failed.stderr
