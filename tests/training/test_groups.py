"""Batches of groups: all symbols at the same times; and what attention across symbols learns from them."""

import numpy as np
import pytest
import torch

from polyscale.dataset.settings import DataSettings
from polyscale.dataset.stretches import ScaledPanel
from polyscale.model.network import MultiScaleAttention
from polyscale.model.settings import EncoderSettings, NetworkSettings, NetworkSpec
from polyscale.training.batches import Part, epoch_batches, load, most_batches, ordered_batches
from polyscale.training.fit import fit
from polyscale.training.settings import TrainingSettings

DATA = DataSettings(
    scales=[{"timeframe": "15m", "lookback": 4}], horizons=["15m"], features=("scaled_return_1",)
)
STEP_MS = DATA.base.ms
LENGTH = 4_000


def make_panel(begin, length, signal, label):
    """A symbol whose bars begin so many steps after the first: one feature, one label."""
    zeros = np.zeros((length, 1), np.float32)
    return ScaledPanel(
        time_ms=(begin + np.arange(length)) * STEP_MS,
        traded=np.ones(length, dtype=bool),
        rows=(signal[:, None].astype(np.float32),),
        warm=(np.ones(length, dtype=bool),),
        index=np.arange(length)[:, None],
        origin=zeros,
        base=zeros,
        log_variance=label[:, None].astype(np.float32),
        scaled_return=np.random.default_rng(9).normal(size=(length, 1)).astype(np.float32),
        up=zeros,
        log_scale=zeros,
    )


def make_part(*spans, grouped=True):
    """Symbols that are traded from ``begin`` for ``length`` bars; the feature is the time."""
    panels = [make_panel(begin, n, begin + np.arange(n), np.zeros(n)) for begin, n in spans]
    return Part(panels, [np.ones(n, dtype=bool) for _, n in spans], DATA, grouped=grouped)


def test_an_epochs_groups_hold_every_training_origin_once_and_all_symbols_at_the_same_times():
    part = make_part((0, 500), (130, 300), (450, 200))
    for epoch in range(5):
        batches = epoch_batches(part, 64, 2, seed=1, epoch=epoch)
        assert batches == epoch_batches(part, 64, 2, seed=1, epoch=epoch)
        assert len(batches) <= most_batches(part, 64, 2)
        covered = [np.zeros(len(counted), dtype=int) for counted in part.counted]
        for group in (batch[at : at + 3] for batch in batches for at in range(0, len(batch), 3)):
            assert [i for i, _ in group] == [0, 1, 2]
            assert len({first + begin for (_, first), begin in zip(group, (0, 130, 450), strict=True)}) == 1
            for i, first in group:
                covered[i][max(first, 0) : max(first + 64, 0)] += 1
        assert all((each == 1).all() for each in covered)
    assert epoch_batches(part, 64, 2, 1, 0) != epoch_batches(part, 64, 2, 1, 1)


def test_a_symbol_before_its_first_bar_in_a_hole_and_after_its_last_is_padding():
    part = make_part((0, 200), (30, 100))
    part.panels[1].traded[40] = False
    part.counted[1][40] = False
    inputs, labels = next(load(part, ordered_batches(part, 200, 1), 200))
    assert inputs.symbols == 2
    there = np.zeros(200, dtype=bool)
    there[30:130] = True
    there[70] = False
    assert (inputs.aligned[1, :, 0] >= 0).tolist() == labels.counted[1].tolist() == there.tolist()
    assert (inputs.aligned[0] >= 0).all()
    known = torch.gather(inputs.rows[0][..., 0], 1, inputs.aligned[..., 0].clamp(min=0))
    assert known[0].tolist() == list(range(200))
    assert known[1, there].tolist() == np.flatnonzero(there).tolist()
    beside = inputs.rows[0][1, inputs.aligned[1, 30, 0] - 1]
    assert beside == 0  # there is no row before the first


def test_a_stretch_that_begins_inside_of_the_padding_has_the_same_forecasts():
    part = make_part((0, 200), (30, 100))
    torch.manual_seed(1)
    network = MultiScaleAttention(make_spec(across=True))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    found = []
    for stretch in (200, 64, 7):
        kept = [
            network.eval()(inputs).log_variance[labels.counted]
            for inputs, labels in load(part, ordered_batches(part, stretch, 1), stretch)
        ]
        found.append(torch.cat(kept).sort(dim=0).values)
    assert len(found[0]) == 300
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], atol=1e-5, rtol=1e-5)


def make_spec(across):
    return NetworkSpec(
        settings=NetworkSettings(
            d_model=8,
            encoders=(EncoderSettings(heads=2, layers=1, dropout=0.0),),
            cross_heads=2,
            across_symbols=across,
        ),
        scales=("15m",),
        lookbacks=(4,),
        features=(("scaled_return_1",),),
        num_origin_inputs=1,
        horizons=("15m",),
        levels=(0.1, 0.5, 0.9),
    )


@pytest.fixture(scope="module")
def led_market():
    """A's newest row tells B's next log variance; B's own rows tell nothing, and A's is always the same."""
    rng = np.random.default_rng(3)
    signal, noise = rng.normal(size=(2, LENGTH)).clip(-2, 2)
    begin = 700
    a = make_panel(0, LENGTH, signal, np.zeros(LENGTH))
    b = make_panel(begin, LENGTH - begin, noise[begin:], signal[begin:])
    late = [panel.time_ms >= 3_200 * STEP_MS for panel in (a, b)]
    train = Part([a, b], [~late[0], ~late[1]], DATA)
    return train, Part([a, b], [np.zeros(LENGTH, dtype=bool), late[1]], DATA)


def test_a_symbol_that_is_led_by_another_is_learnt_only_across_symbols(led_market, tmp_path):
    train, validate = led_market
    settings = TrainingSettings(epochs=8, stretch=128, stretches_per_batch=2, learning_rate=0.02)
    qlike = {}
    for across in (False, True):
        _, history = fit(train, validate, make_spec(across), settings, 1, tmp_path / str(across))
        qlike[across] = min(report.val_qlike for report in history)
    assert qlike[True] < 0.5 * qlike[False]
