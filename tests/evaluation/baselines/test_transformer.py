import numpy as np
import pytest

from polyscale.evaluation.baselines import transformer as module
from polyscale.evaluation.baselines.transformer import transformer
from polyscale.evaluation.losses import qlike
from polyscale.model.settings import EncoderSettings, NetworkSettings
from tests.evaluation.baselines.market import came, planted, small_rows


@pytest.fixture(autouse=True)
def small(monkeypatch):
    network = NetworkSettings(d_model=8, cross_heads=2, encoders=(EncoderSettings(heads=2, layers=1),))
    monkeypatch.setattr(module, "_NETWORK", network)
    monkeypatch.setattr(module, "_STRETCH", 128)
    monkeypatch.setattr(module, "_EPOCHS", (2, 2))


def test_the_same_seed_gives_the_same_bits():
    rows = small_rows()
    for a, b in zip(transformer(rows, 3), transformer(rows, 3), strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_begins_at_the_last_days_variance_and_not_at_the_base(monkeypatch):
    """Untrained it is the day's variance."""
    monkeypatch.setattr(module, "_train", lambda rows, sequences, seed: untrained(rows, sequences))
    rows = small_rows()
    for panel, wanted, got in zip(rows.panels, rows.wanted, transformer(rows), strict=True):
        day = 2 * np.log(panel.targets.sigma[wanted])
        np.testing.assert_allclose(got, np.column_stack([day, day]), rtol=1e-5)


def untrained(rows, sequences):
    from polyscale.model.network import MultiScaleAttention

    return MultiScaleAttention(module._spec(rows, sequences)).eval()


def test_it_learns(monkeypatch):
    """Realised variance half of the day's, whatever the day: eight epochs find that."""
    monkeypatch.setattr(module, "_EPOCHS", (8, 8))
    rows = small_rows()
    rng = np.random.default_rng(1)

    def surprise(panel):
        low = 2 * np.log(panel.targets.sigma)[:, None] - 1.0 - panel.base
        return low + rng.normal(-0.02, 0.2, panel.base.shape)

    rows = planted(rows, surprise)
    y, said = np.concatenate(came(rows)), np.concatenate(transformer(rows))
    known = np.isfinite(y).all(axis=1)
    day = np.concatenate(
        [2 * np.log(p.targets.sigma[w]) for p, w in zip(rows.panels, rows.wanted, strict=True)]
    )
    untaught = qlike(y, np.column_stack([day, day]))[known].mean()
    assert qlike(y, said)[known].mean() < 0.5 * untaught
