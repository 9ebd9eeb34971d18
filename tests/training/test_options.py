"""Precision, checkpointing, compilation, kept memory; what a trained network looks like."""

import copy
import subprocess
import sys

import pytest
import torch

from polyscale.model.kernels.ops import explicit
from polyscale.training import fit as fit_file
from polyscale.training.batches import load, ordered_batches
from polyscale.training.fit import fit
from polyscale.training.settings import Precision
from tests.training.small import SETTINGS, parts_of, weights


def trained(prepared, folder, **changes):
    train, validate = parts_of(prepared)
    return fit(train, validate, prepared[2].spec, SETTINGS.model_copy(update=changes), 1, folder)


def test_checkpointing_gives_the_same_weights(prepared, tmp_path):
    plain, _ = trained(prepared, tmp_path / "a")
    again, _ = trained(prepared, tmp_path / "b", checkpointing=True)
    for name, value in weights(plain).items():
        torch.testing.assert_close(again.state_dict()[name], value, atol=1e-5, rtol=1e-4)


def test_bf16_trains_nearly_as_float32_does(prepared, tmp_path):
    _, plain = trained(prepared, tmp_path / "a")
    network, mixed = trained(prepared, tmp_path / "b", precision=Precision.BF16)
    assert all(p.dtype is torch.float32 and p.isfinite().all() for p in network.parameters())
    assert mixed[-1].val_loss == pytest.approx(plain[-1].val_loss, abs=0.02)
    assert [r.train_loss for r in mixed] != [r.train_loss for r in plain]


def test_compilation_is_left_out_with_a_word_where_no_compiler_is(prepared, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(fit_file.shutil, "which", lambda name: None)
    _, history = trained(prepared, tmp_path, compile=True, epochs=1)
    assert len(history) == 1
    assert "needs a C++ compiler" in caplog.text


@pytest.mark.slow
def test_a_compiled_network_gives_the_same_numbers():
    """In a process of its own: the tests' checks of shapes stand in the compiler's way."""
    program = """
import torch
from polyscale.model.network import MultiScaleAttention
from tests.model.test_network import make_input, make_network
network, inputs = make_network(), make_input()
losses = []
for compiled in (False, True):
    if compiled:
        network.compile()
    network.zero_grad()
    loss = network(inputs).log_variance.square().mean()
    loss.backward()
    losses.append((loss.item(), network.heads.output.weight.grad.abs().sum().item()))
print(losses)
assert all(abs(a - b) < 1e-4 * abs(a) for a, b in zip(*losses)), losses
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]


def test_modes_agree_and_attention_moves_on_a_trained_network(prepared, tmp_path):
    network, _ = trained(prepared, tmp_path, learning_rate=0.02)
    _, validate = parts_of(prepared)
    inputs, labels = next(load(validate, ordered_batches(validate, 128, 2), 128))
    with torch.no_grad():
        stretch = network(inputs)
        with explicit():
            formula = network(inputs)
        for n in (0, 60, 127):
            window = inputs._replace(
                **{name: getattr(inputs, name)[:, n : n + 1] for name in ("aligned", "origin", "base")}
            )
            for whole, alone in zip(stretch, network(window), strict=True):
                torch.testing.assert_close(whole[:, n], alone[:, 0], atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(stretch, formula, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    counted = labels.counted
    for name in ("scale_weights", "cross_attention"):
        rows = getattr(stretch, name)[counted]
        torch.testing.assert_close(rows.sum(-1), torch.ones(rows.shape[:-1]), atol=1e-6, rtol=0)
        assert (rows.std(dim=0) > 1e-4).all(), f"{name} is constant over origins"


KEPT_AND_GIVEN_BACK = """
from pathlib import Path

import torch

from polyscale.training.allocator import kept_memory


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096


with kept_memory() as kept:
    before = resident()
    block = torch.ones(50_000_000)
    del block
    inside = resident() - before
print(kept, inside > 150e6, resident() - before < 50e6)
"""


def test_memory_is_kept_inside_and_given_back_after():
    """In a process of its own: what others have freed would be taken first."""
    said = subprocess.run(
        [sys.executable, "-c", KEPT_AND_GIVEN_BACK], capture_output=True, text=True, check=True
    ).stdout.split()
    if said[0] == "False":
        pytest.skip("this C library has no mallopt")
    assert said == ["True", "True", "True"]


def test_ranks_with_their_own_batches_step_alike(prepared):
    """What DistributedDataParallel relies on: every trained parameter has a gradient in every batch."""
    train, _ = parts_of(prepared)
    network = copy.deepcopy(fit_file.MultiScaleAttention(prepared[2].spec)).train()
    for inputs, _ in load(train, ordered_batches(train, 128, 2)[:2], 128):
        for masks in (inputs.masks, [inputs.masks[0], torch.zeros_like(inputs.masks[1])]):
            network.zero_grad()
            out = network(inputs._replace(masks=masks))
            (out.log_variance.sum() + out.quantiles.sum() + out.up_logit.sum()).backward()
            assert [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None] == []
