"""A crash by 60 % in one bar of the training rows: what it does to the gradient and to the losses' units."""

import copy

import numpy as np
import polars as pl
import pytest
import torch

from polyscale.training.batches import Part, load
from polyscale.training.fit import _module, fit
from polyscale.training.loss import loss_parts, total_loss
from tests.training.small import DATA, SETTINGS, parts_of, prepare

CRASH = 1_500  # the bar, of fifteen minutes
BEFORE, AFTER = 16, 96  # origins whose labels hold it; a day in which the base forecast has not recovered
WHERE = [(0, CRASH - 128), (0, 850), (0, CRASH + 400), (0, 1_110)]
LENGTH = 256


def crashed(bars):
    """The same bars, 60 % lower from the close of one bar on."""
    bar = np.arange(bars.height)
    opens = bars["open"].to_numpy() * np.where(bar > CRASH, 0.4, 1.0)
    closes = bars["close"].to_numpy() * np.where(bar >= CRASH, 0.4, 1.0)
    highs = np.maximum(bars["high"].to_numpy() * np.where(bar > CRASH, 0.4, 1.0), np.maximum(opens, closes))
    lows = np.minimum(bars["low"].to_numpy() * np.where(bar >= CRASH, 0.4, 1.0), np.minimum(opens, closes))
    return bars.with_columns(
        open=pl.Series(opens), high=pl.Series(highs), low=pl.Series(lows), close=pl.Series(closes)
    )


@pytest.fixture(scope="module")
def markets(bars, prepared, tmp_path_factory):
    """(part, module) with and without the crash, over one network that was trained without it."""
    calm, validate = parts_of(prepared)
    network, _ = fit(calm, validate, prepared[2].spec, SETTINGS, 1, tmp_path_factory.mktemp("calm"))
    wild, _ = parts_of(prepare(crashed(bars)))
    return {
        name: (part, _module(copy.deepcopy(network), part, SETTINGS, 1))
        for name, part in (("calm", calm), ("wild", wild))
    }


def gradient(part, module, keep=None):
    """Gradient [P] of one batch, and how many origins it counts."""
    counted = part.counted[0] if keep is None else part.counted[0] & keep
    ((inputs, labels),) = load(Part(part.panels, [counted], DATA), [WHERE], LENGTH)
    module.network.eval().zero_grad()
    parts = loss_parts(module.network(inputs), labels, module.levels, module.log_bars)
    total_loss(parts, module.reference, module.log_bars, SETTINGS).backward()
    found = [p.grad.flatten() for p in module.network.parameters() if p.grad is not None]
    return torch.cat(found), int(labels.counted.sum())


def test_a_crash_bar_does_not_own_the_gradient_of_its_batch(markets):
    wild, calm = markets["wild"], markets["calm"]
    bar = np.arange(len(wild[0].counted[0]))
    whole, num_all = gradient(*wild)
    rest, num_rest = gradient(*wild, (bar < CRASH - BEFORE) | (bar >= CRASH + AFTER))
    rest = rest * num_rest / num_all
    share = ((whole - rest).norm() / ((whole - rest).norm() + rest.norm())).item()
    touched = 1 - num_rest / num_all
    ratio = (whole.norm() / gradient(*calm)[0].norm()).item()
    assert 0.1 < touched < 0.2
    assert share < 0.5
    assert ratio < 1.5


def test_a_crash_leaves_the_units_of_the_losses_as_they_are(markets):
    for ours, theirs in zip(markets["wild"][1].reference, markets["calm"][1].reference, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.3, atol=0)
