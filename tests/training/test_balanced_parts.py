"""No part of the loss and no horizon drowns another, whatever their units."""

import pytest
import torch

from polyscale.training.loss import LossParts, total_loss
from polyscale.training.settings import TrainingSettings

LOG_BARS = torch.log(torch.tensor([12.0, 288.0]))


def parts(*units):
    return LossParts(*(torch.tensor(unit, requires_grad=True) for unit in units))


@pytest.mark.parametrize(
    "units", [([1.0, 1.0], [1.0, 1.0], [1.0, 1.0]), ([1e-7, 2e-3], [0.4, 30.0], [0.69, 0.69])]
)
def test_what_the_base_scores_counts_the_same_in_any_unit(units):
    settings = TrainingSettings(quantile_weight=0.5, direction_weight=0.2)
    loss = total_loss(parts(*units), parts(*units), LOG_BARS, settings)
    assert loss.item() == pytest.approx(1 + 0.5 + 0.2)


def test_a_tenth_off_a_tiny_part_is_worth_as_much_as_a_tenth_off_a_large_one():
    settings = TrainingSettings(quantile_weight=1.0, direction_weight=1.0, horizon_power=0.0)
    reference = parts([1e-7, 1e-5], [0.4, 0.4], [0.69, 0.69])
    scored = parts([1e-7, 1e-5], [0.4, 0.4], [0.69, 0.69])
    total_loss(scored, reference, LOG_BARS, settings).backward()
    worth = torch.stack([0.1 * part.detach() * part.grad for part in scored])
    torch.testing.assert_close(worth, torch.full_like(worth, 0.05))
