"""What noise leaves alone, how horizons weigh, which epoch is kept."""

import numpy as np
import pytest
import torch

from polyscale.dataset.panel import num_clock_inputs, origin_columns
from polyscale.model.network import NetworkInput
from polyscale.training.fit import fit
from polyscale.training.loss import LossParts, total_loss
from polyscale.training.module import shift_levels
from polyscale.training.progress import EpochReport, kept_report
from polyscale.training.settings import Kept, TrainingSettings
from tests.training.small import DATA, SETTINGS, parts_of, weights


def inputs():
    rows = [torch.zeros(3, 20, 4), torch.zeros(3, 8, 2)]
    masks = [torch.ones(x.shape[:2], dtype=torch.bool) for x in rows]
    aligned = torch.zeros(3, 5, 2, dtype=torch.long)
    return NetworkInput(rows, masks, aligned, torch.zeros(3, 5, 6), torch.zeros(3, 5, 1))


def test_noise_is_constant_over_a_stretch_and_leaves_the_clock():
    torch.manual_seed(0)
    shifted = shift_levels(inputs(), TrainingSettings(level_noise=0.5, origin_noise=0.2), num_clock=2)
    for x in (*shifted.rows, shifted.origin):
        assert (x == x[:, :1]).all()
    assert (shifted.origin[..., :2] == 0).all()
    assert (shifted.origin[..., 2:] != 0).all()
    many = torch.cat([x[:, 0].flatten() for x in shifted.rows])
    assert many.abs().mean() > 2 * shifted.origin[:, 0, 2:].abs().mean() * 0.8


def test_origins_have_the_rows_noise_unless_they_have_their_own():
    torch.manual_seed(0)
    same = shift_levels(inputs(), TrainingSettings(level_noise=0.5), num_clock=0)
    assert (same.origin != 0).all()
    quiet = shift_levels(inputs(), TrainingSettings(level_noise=0.5, origin_noise=0.0), num_clock=0)
    assert (quiet.origin == 0).all()
    none = shift_levels(inputs(), TrainingSettings(), num_clock=0)
    assert all((x == 0).all() for x in (*none.rows, none.origin))


def test_the_clock_is_the_first_columns_of_an_origin():
    names = origin_columns(DATA)
    clock = names[: num_clock_inputs(DATA)]
    assert sum("share of the" in name for name in clock) == 10
    assert sum("time since the newest bar" in name for name in clock) == len(DATA.scales)
    assert not any("time since" in name or "share of the day" in name for name in names[len(clock) :])


@pytest.mark.parametrize(("power", "weights"), [(0.0, (0.5, 0.5)), (0.5, (2 / 3, 1 / 3)), (1.0, (0.8, 0.2))])
def test_a_horizon_weighs_as_its_length_to_minus_a_power(power, weights):
    ones, zeros = torch.ones(2), torch.zeros(2)
    log_bars = torch.log(torch.tensor([3.0, 12.0]))
    settings = TrainingSettings(horizon_power=power, quantile_weight=0.0, direction_weight=0.0)
    for h, weight in enumerate(weights):
        parts = LossParts(torch.eye(2)[h], zeros, zeros)
        found = total_loss(parts, LossParts(ones, ones, ones), log_bars, settings)
        assert found.item() == pytest.approx(weight)


def test_the_last_epoch_is_kept_whatever_validation_says(prepared, tmp_path, monkeypatch):
    train, validate = parts_of(prepared)
    seen = []
    monkeypatch.setattr(
        "polyscale.training.module.TrainingModule.on_save_checkpoint",
        lambda self, checkpoint: (
            seen.append(weights(self.average)),
            checkpoint.update(guard=self.guard.state_dict()),
        ),
    )
    changes = {"keep": Kept.LAST, "learning_rate": 0.2, "epochs": 4, "patience": 1}
    network, history = fit(
        train, validate, prepared[2].spec, SETTINGS.model_copy(update=changes), 1, tmp_path / "last"
    )
    assert len(history) == 4
    assert int(np.argmin([report.val_loss for report in history])) < 3
    for name, value in weights(network).items():
        torch.testing.assert_close(value, seen[-1][name])


def test_no_epoch_is_kept_before_a_validation_loss_is_finite():
    reports = [EpochReport(1, 3, 1.0, None, None)]
    assert kept_report(reports, Kept.BEST) is None
    assert kept_report(reports, Kept.LAST) is None
    reports += [EpochReport(2, 3, 1.0, 0.5, 0.5), EpochReport(3, 3, 1.0, 0.5, 0.4)]
    assert kept_report(reports, Kept.BEST) is reports[1]  # the first of equals
    assert kept_report(reports, Kept.LAST) is reports[2]
