import numpy as np
import pytest
import torch

from polyscale.evaluation.baselines import lstm as module
from polyscale.evaluation.baselines.lstm import LstmForecaster, lstm
from polyscale.evaluation.baselines.sequences import base_scale
from polyscale.evaluation.losses import qlike
from polyscale.training.batches import Part, ordered_batches
from tests.evaluation.baselines.market import came, newest, planted, small_rows


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(module, "_CONTEXT", 24)
    monkeypatch.setattr(module, "_BODY", 128)


def test_what_happened_some_rows_ago_is_learned(short):
    """The surprise is a mean over eight rows, of which a table of newest rows shows one."""
    rng = np.random.default_rng(1)

    def surprise(panel):
        mean = np.convolve(np.nan_to_num(newest(panel, 0, 0)), np.ones(8) / np.sqrt(8))[: len(panel.base)]
        return np.column_stack([mean, -mean]) + rng.normal(-0.02, 0.2, panel.base.shape)

    rows = planted(small_rows(), surprise)
    y, said = np.concatenate(came(rows)), np.concatenate(lstm(rows))
    base = np.concatenate([p.base[w] for p, w in zip(rows.panels, rows.wanted, strict=True)])
    known = np.isfinite(y).all(axis=1)
    assert qlike(y, said)[known].mean() < 0.35 * qlike(y, base)[known].mean()


def test_the_same_seed_gives_the_same_bits_and_leaves_the_callers_draws_alone(short, monkeypatch):
    monkeypatch.setattr(module, "_EPOCHS", (2, 2))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = lstm(small_rows(), 1), lstm(small_rows(), 1), lstm(small_rows(), 2)
    assert torch.equal(before, torch.get_rng_state())
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


def test_a_forecast_is_that_of_the_rows_before_it_one_by_one(short):
    rows = small_rows()
    sequences = base_scale(rows, lookback=1)
    scaled, panel = sequences.panels[0], rows.panels[0]
    torch.manual_seed(0)
    network = LstmForecaster(scaled.rows[0].shape[1] + scaled.origin.shape[1], 2).eval()
    torch.nn.init.normal_(network.head.weight, std=0.3)
    wanted = rows.wanted[0] & panel.usable
    got = module._forecast(network, scaled, sequences, wanted)
    part = Part([scaled], [wanted], sequences.data)
    (_, first), *_ = ordered_batches(part, 128, 4)[0]
    x = np.concatenate([scaled.rows[0] * scaled.warm[0][:, None], scaled.origin], axis=1)
    for origin in (first, first + 77):
        state = None
        for t in range(first - 24, origin + 1):
            out, state = network.lstm(torch.from_numpy(x[t])[None, None], state)
        head = network.head(torch.cat([out[0, 0], torch.from_numpy(x[origin])]))
        np.testing.assert_allclose(got[origin], scaled.base[origin] + head.detach().numpy(), atol=1e-5)


def test_with_a_zero_head_it_is_the_base_forecast():
    x, base = torch.randn(2, 9, 4), torch.randn(2, 9, 3)
    torch.testing.assert_close(LstmForecaster(4, 3).eval()(x, base), base)
