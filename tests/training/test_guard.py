"""What is not finite: skipped steps, returns to good weights, and the end of patience."""

import copy
import json
from unittest.mock import patch

import pytest
import torch

from polyscale.market.errors import TrainingError
from polyscale.training import fit as fit_file
from polyscale.training.fit import fit
from polyscale.training.module import TrainingModule
from polyscale.training.progress import LAST
from tests.training.small import SETTINGS, parts_of, weights

PLENTY = SETTINGS.model_copy(update={"stretches_per_batch": 1})  # 13 or 14 steps an epoch
SECOND_EPOCH = 16  # a step in it


def poisoned_batches(steps):
    """Labels of these steps become infinite: the loss and every gradient are not finite."""
    step = TrainingModule.training_step

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        if self.global_step in steps:
            inputs = inputs._replace(base=torch.full_like(inputs.base, torch.nan))
        return step(self, (inputs, labels), batch_idx)

    return patch.object(TrainingModule, "training_step", training_step)


def poisoned_weights(step, name="network", times=1):
    """Before a step, one weight becomes NaN."""
    begin, left = TrainingModule.on_train_batch_start, [times]

    def on_train_batch_start(self, batch, batch_idx):
        if self.global_step >= step and left[0]:
            left[0] -= 1
            getattr(self, name).heads.output.bias.data[0] = torch.nan
        begin(self, batch, batch_idx)

    return patch.object(TrainingModule, "on_train_batch_start", on_train_batch_start)


def run(prepared, folder, settings=PLENTY, **more):
    train, validate = parts_of(prepared)
    return fit(train, validate, prepared[2].spec, settings, 1, folder, **more)


def state_of(module):
    optimizer = module.trainer.optimizers[0]
    return copy.deepcopy(
        [module.network.state_dict(), module.average.state_dict(), optimizer.state_dict()["state"]]
    )


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return all(map(same, a, b))
    return torch.equal(a, b)


def test_a_poisoned_batch_changes_nothing_and_is_counted(prepared, tmp_path):
    begin, end, seen = TrainingModule.on_train_batch_start, TrainingModule.on_train_batch_end, {}

    def on_train_batch_start(self, batch, batch_idx):
        seen["before"] = state_of(self)
        begin(self, batch, batch_idx)

    def on_train_batch_end(self, outputs, batch, batch_idx):
        end(self, outputs, batch, batch_idx)
        seen[batch_idx, self.current_epoch] = same(seen["before"], state_of(self))

    with (
        poisoned_batches({1, 3}),
        patch.object(TrainingModule, "on_train_batch_start", on_train_batch_start),
        patch.object(TrainingModule, "on_train_batch_end", on_train_batch_end),
    ):
        network, history = run(prepared, tmp_path)
    assert [key for key in seen if seen[key] is True] == [(1, 0), (3, 0)]
    assert [report.skipped for report in history] == [2, 0, 0]
    assert [report.rollbacks for report in history] == [0, 0, 0]
    assert all(p.isfinite().all() for p in network.parameters())
    json.dumps([vars(report) for report in history], allow_nan=False)


def test_an_infinite_gradient_of_a_finite_loss_is_skipped_too(prepared, tmp_path):
    after, steps = TrainingModule.on_after_backward, []

    def on_after_backward(self):
        after(self)
        if self.global_step == 2:
            steps.append(self.global_step)
            self.network.heads.output.weight.grad[0, 0] = torch.inf

    with patch.object(TrainingModule, "on_after_backward", on_after_backward):
        network, history = run(prepared, tmp_path)
    assert steps == [2]
    assert [report.skipped for report in history] == [1, 0, 0]
    assert all(p.isfinite().all() for p in network.parameters())


def test_poisoned_weights_go_back_to_the_epochs_start_at_half_the_rate(prepared, tmp_path, caplog):
    rates = []
    end = TrainingModule.on_train_epoch_start

    def on_train_epoch_start(self):
        end(self)
        rates.append((self.guard.rate, state_of(self)[0]))

    with (
        poisoned_weights(step=SECOND_EPOCH),
        patch.object(TrainingModule, "on_train_epoch_start", on_train_epoch_start),
    ):
        network, history = run(prepared, tmp_path)
    assert sum(report.rollbacks for report in history) == 1
    assert sum(report.skipped for report in history) == PLENTY.max_skipped
    assert [rate for rate, _ in rates] == [1.0, 1.0, 0.5]
    assert all(value.isfinite().all() for _, state in rates for value in state.values())
    assert all(p.isfinite().all() for p in network.parameters())
    assert "back to the last good weights, learning rate x 0.5" in caplog.text


def test_the_rate_of_the_steps_is_halved_by_a_return(prepared, tmp_path):
    taken = []
    clip = TrainingModule.configure_gradient_clipping

    def configure_gradient_clipping(self, optimizer, *args, **more):
        before = optimizer.param_groups[0]["lr"]
        clip(self, optimizer, *args, **more)
        taken.append(optimizer.param_groups[0]["lr"] / before)

    with (
        poisoned_weights(step=SECOND_EPOCH),
        patch.object(TrainingModule, "configure_gradient_clipping", configure_gradient_clipping),
    ):
        run(prepared, tmp_path)
    first = taken.index(0.5)
    assert first == SECOND_EPOCH + PLENTY.max_skipped
    assert set(taken[:first]) == {1.0}
    assert set(taken[first:]) == {0.5}


def test_if_all_batches_are_poisoned_training_ends_with_step_and_remedy(prepared, tmp_path):
    returns = PLENTY.max_rollbacks
    last = (returns + 1) * PLENTY.max_skipped - 1
    said = (
        rf"must be finite, got nan and a gradient that is not at step {last}, 4 steps in a row, "
        rf"after {returns} returns to the last good weights; lower training.learning_rate \(0.003\) or look "
    )
    with poisoned_batches(range(1_000)), pytest.raises(TrainingError, match=said):
        run(prepared, tmp_path)


def test_a_loss_measured_in_units_of_nan_ends_training(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(
        fit_file, "_base_losses", lambda *_: fit_file.LossParts(*(torch.zeros(2) * torch.nan,) * 3)
    )
    with pytest.raises(TrainingError, match=r"must be finite, got .* lower training.learning_rate"):
        run(prepared, tmp_path)


def test_a_validation_loss_that_is_not_finite_is_never_best(prepared, tmp_path):
    with poisoned_weights(step=SECOND_EPOCH, name="average"):
        network, history = run(prepared, tmp_path)
    assert [report.val_loss is None for report in history] == [False, True, False]
    assert [report.rollbacks for report in history] == [0, 1, 0]
    assert all(p.isfinite().all() for p in network.parameters())


def test_an_average_that_is_always_poisoned_ends_training(prepared, tmp_path):
    settings = PLENTY.model_copy(update={"max_rollbacks": 1})
    said = r"the validation loss and all weights must be finite, got no loss after epoch 2, .* 1 returns"
    with poisoned_weights(0, "average", times=10_000), pytest.raises(TrainingError, match=said):
        run(prepared, tmp_path, settings)


def test_without_any_finite_validation_no_network_is_kept(prepared, tmp_path):
    settings = PLENTY.model_copy(update={"epochs": 1})
    said = "one validation loss must be finite, got none in 1 epochs"
    with poisoned_weights(0, "average", times=10_000), pytest.raises(TrainingError, match=said):
        run(prepared, tmp_path, settings)


class CutOffError(Exception):
    pass


@pytest.mark.parametrize("cut_after", [1, 2])
def test_skips_and_returns_survive_a_resume(prepared, tmp_path, cut_after):
    """The streak of skipped steps crosses the end of the first epoch; the return falls into the second."""
    steps = num_steps(prepared, tmp_path)
    poison = range(steps - 2, steps + 2)

    def cut_off(report):
        if report.epoch == cut_after:
            raise CutOffError

    with poisoned_batches(poison):
        whole, history = run(prepared, tmp_path / "whole")
        with pytest.raises(CutOffError):
            run(prepared, tmp_path / "cut", progress=cut_off)
        assert (tmp_path / "cut" / LAST).is_file()
        resumed, again = run(prepared, tmp_path / "cut", resume=True)
    assert [(report.skipped, report.rollbacks) for report in history] == [(2, 0), (2, 1), (0, 0)]
    assert again == history
    assert all(value.equal(weights(resumed)[name]) for name, value in weights(whole).items())


def num_steps(prepared, tmp_path):
    """Steps of the first epoch."""
    with patch.object(
        TrainingModule, "on_validation_epoch_start", lambda self: steps.append(self.global_step)
    ):
        steps = []
        with pytest.raises(CutOffError):
            run(prepared, tmp_path / "count", progress=lambda _: (_ for _ in ()).throw(CutOffError))
    return steps[0]
