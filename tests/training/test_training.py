import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from polyscale.forecast.predict import predict, quantile_weights
from polyscale.market.errors import HistoryError, RunError
from polyscale.model.network import NetworkOutput
from polyscale.training.batches import Part, epoch_batches, most_batches, ordered_batches
from polyscale.training.checkpoint import PlainCheckpointIO
from polyscale.training.fit import fit
from polyscale.training.loss import Labels, loss_parts, robust_qlike
from polyscale.training.model_file import Model, load_model, save_model
from polyscale.training.settings import Schedule
from tests.training.small import DATA, LEVELS, SETTINGS, parts_of, weights


def test_the_same_seed_gives_the_same_weights_and_another_does_not(prepared, tmp_path):
    train, validate = parts_of(prepared)
    spec = prepared[2].spec
    first, again, other = (
        weights(fit(train, validate, spec, SETTINGS, seed, tmp_path / str(i))[0])
        for i, seed in enumerate((1, 1, 2))
    )
    assert all(first[name].equal(again[name]) for name in first)
    assert not all(first[name].equal(other[name]) for name in first)


def test_a_training_that_was_cut_off_resumes_to_the_same_weights(prepared, tmp_path):
    train, validate = parts_of(prepared)
    spec = prepared[2].spec
    whole, history = fit(train, validate, spec, SETTINGS, 1, tmp_path / "whole")

    class CutOffError(Exception):
        pass

    def cut_off(report):
        if report.epoch == 2:
            raise CutOffError

    with pytest.raises(CutOffError):
        fit(train, validate, spec, SETTINGS, 1, tmp_path / "cut", progress=cut_off)
    resumed, again = fit(train, validate, spec, SETTINGS, 1, tmp_path / "cut", resume=True)
    assert all(value.equal(weights(resumed)[name]) for name, value in weights(whole).items())
    assert again == history


def test_resume_without_a_checkpoint_says_so(prepared, tmp_path):
    train, validate = parts_of(prepared)
    with pytest.raises(RunError, match=r"resuming needs last.ckpt, found none; train again with --config"):
        fit(train, validate, prepared[2].spec, SETTINGS, 1, tmp_path, resume=True)


def test_training_stops_when_validation_no_longer_improves(prepared, tmp_path):
    train, validate = parts_of(prepared)
    settings = SETTINGS.model_copy(update={"epochs": 40, "patience": 2, "learning_rate": 0.05})
    _, history = fit(train, validate, prepared[2].spec, settings, 1, tmp_path)
    losses = [report.val_loss for report in history]
    assert len(losses) == int(np.argmin(losses)) + 1 + 2 < 40


def test_a_training_that_has_stopped_goes_no_further_when_resumed(prepared, tmp_path):
    """A kill may come between the last checkpoint and the model."""
    train, validate = parts_of(prepared)
    settings = SETTINGS.model_copy(update={"epochs": 40, "patience": 1, "learning_rate": 0.05})
    network, history = fit(train, validate, prepared[2].spec, settings, 1, tmp_path)
    assert len(history) < 40
    resumed, again = fit(train, validate, prepared[2].spec, settings, 1, tmp_path, resume=True)
    assert again == history
    assert all(value.equal(weights(resumed)[name]) for name, value in weights(network).items())


def test_too_few_origins_are_refused(prepared, tmp_path):
    panel, parts, facts = prepared
    few = parts.train & (np.cumsum(parts.train) <= 99)
    part = Part([facts.scale(panel)], [few], DATA)
    with pytest.raises(HistoryError, match="training needs >= 500 origins with labels, found 99"):
        fit(part, part, facts.spec, SETTINGS, 1, tmp_path)


def test_warm_restarts_train_too(prepared, tmp_path):
    train, validate = parts_of(prepared)
    settings = SETTINGS.model_copy(update={"schedule": Schedule.WARM_RESTARTS, "epochs": 1})
    assert len(fit(train, validate, prepared[2].spec, settings, 1, tmp_path)[1]) == 1


def test_an_epochs_batches_hold_every_training_origin_once(prepared):
    train, _ = parts_of(prepared)
    for epoch in range(5):
        batches = epoch_batches(train, 128, 2, seed=1, epoch=epoch)
        assert batches == epoch_batches(train, 128, 2, seed=1, epoch=epoch)
        assert len(batches) <= most_batches(train, 128, 2)
        covered = np.zeros(len(train.counted[0]), dtype=int)
        for _, first in (where for batch in batches for where in batch):
            covered[first : first + 128] += 1
        assert (covered[train.counted[0]] == 1).all()
    assert epoch_batches(train, 128, 2, 1, 0) != epoch_batches(train, 128, 2, 1, 1)


def test_forecasts_come_at_every_origin_asked_for_in_order(prepared, tmp_path):
    panel, parts, facts = prepared
    train, validate = parts_of(prepared)
    network, _ = fit(train, validate, facts.spec, SETTINGS, 1, tmp_path)
    forecast = predict(network, panel, Part([facts.scale(panel)], [parts.test], DATA))
    assert forecast.close_time.astype(np.int64).tolist() == panel.time_ms[parts.test].tolist()
    np.testing.assert_allclose(
        forecast.base_volatility, np.exp(panel.base[parts.test] / 2) * np.sqrt([4, 16]), rtol=1e-12
    )
    assert (np.diff(forecast.quantiles, axis=-1) > 0).all()
    np.testing.assert_allclose(forecast.scale_weights.sum(-1), 1, atol=1e-12)
    assert len(ordered_batches(validate, 128, 2)) > 0


def test_a_model_on_disk_gives_the_same_forecasts(prepared, tmp_path):
    panel, parts, facts = prepared
    train, validate = parts_of(prepared)
    network, _ = fit(train, validate, facts.spec, SETTINGS, 1, tmp_path / "ck")
    save_model(Model(network, facts), tmp_path)
    loaded = load_model(tmp_path)
    test = Part([facts.scale(panel)], [parts.test], DATA)
    a, b = predict(network, panel, test), predict(loaded.network, panel, test)
    np.testing.assert_array_equal(a.quantiles, b.quantiles)
    assert loaded.facts == facts


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (lambda raw: raw | {"format": 99}, "model format must be 5, got 99; update polyscale"),
        (lambda raw: raw | {"format": 1}, "model format must be 5, got 1; train again"),
        (
            lambda raw: raw | {"data": raw["data"] | {"features": ["nope"]}},
            r"features must be out of .*, got \['nope'\]",
        ),
        (
            lambda raw: raw | {"probes": [{}, {}]},
            r"other formulas of the features \['scaled_return_1 \(15m\)'",
        ),
        (lambda raw: {k: v for k, v in raw.items() if k != "spec"}, "spec: Field required"),
        (lambda raw: [], "content"),
    ],
)
def test_damaged_or_foreign_model_files_are_refused(prepared, tmp_path, damage, rule):
    from polyscale.model.network import MultiScaleAttention

    facts = prepared[2]
    save_model(Model(MultiScaleAttention(facts.spec), facts), tmp_path)
    path = tmp_path / "model.json"
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    with pytest.raises(RunError, match=rule):
        load_model(tmp_path)


def test_truncated_weights_are_refused(prepared, tmp_path):
    from polyscale.model.network import MultiScaleAttention

    save_model(Model(MultiScaleAttention(prepared[2].spec), prepared[2]), tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1_000])
    with pytest.raises(RunError, match=r"model.safetensors: must hold the weights"):
        load_model(tmp_path)


def test_a_checkpoint_gives_back_what_it_was_given(tmp_path):
    value = {"a": torch.arange(3), 7: [1, 2.5, None, "x", (True, {"b": torch.eye(2)})]}
    PlainCheckpointIO().save_checkpoint(value, tmp_path / "c.ckpt")
    again = PlainCheckpointIO().load_checkpoint(tmp_path / "c.ckpt")
    assert again["a"].equal(value["a"])
    assert again[7][:4] == value[7][:4]
    assert again[7][4][1]["b"].equal(torch.eye(2))
    assert [path.name for path in tmp_path.iterdir()] == ["c.ckpt"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"12345678"),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: save_file({}, path, metadata={"state": '{"dict": [["a", {"tensor": "none"}]]}'}),
        lambda path: save_file({}, path, metadata={"state": "{"}),
        lambda path: save_file({}, path),
        lambda path: path.unlink(),
    ],
)
def test_a_damaged_checkpoint_is_refused_with_the_remedy(tmp_path, damage):
    PlainCheckpointIO().save_checkpoint({"a": torch.ones(2)}, tmp_path / "c.ckpt")
    damage(tmp_path / "c.ckpt")
    with pytest.raises(
        RunError, match=r"c.ckpt: a checkpoint must be readable, got .* train again with --config"
    ):
        PlainCheckpointIO().load_checkpoint(tmp_path / "c.ckpt")


def test_training_leaves_the_callers_threads_and_draws_alone(prepared, tmp_path):
    train, validate = parts_of(prepared)
    torch.manual_seed(5)
    expected, threads = torch.random.get_rng_state(), torch.get_num_threads()
    fit(train, validate, prepared[2].spec, SETTINGS.model_copy(update={"epochs": 1}), 1, tmp_path)
    assert torch.random.get_rng_state().equal(expected)
    assert torch.get_num_threads() == threads


def test_loss_parts_equal_their_definitions():
    output = NetworkOutput(
        log_variance=torch.tensor([[[-10.0]]]),
        quantiles=torch.tensor([[[[-1.0, 0.0, 1.0]]]]),
        up_logit=torch.tensor([[[0.4]]]),
        scale_weights=torch.ones(1, 1, 1),
        cross_attention=torch.ones(1, 1, 1, 1),
    )
    labels = Labels(
        log_variance=torch.tensor([[[-9.0]]]),
        scaled_return=torch.tensor([[[2.0]]]),
        up=torch.tensor([[[1.0]]]),
        log_scale=torch.tensor([[[-4.0]]]),
        counted=torch.tensor([[True]]),
    )
    parts = loss_parts(output, labels, torch.tensor(LEVELS), torch.log(torch.tensor([4.0])))
    assert parts.qlike.item() == pytest.approx(np.e - 2, rel=1e-5)
    unit = np.exp(-5 + np.log(2) + 4)  # forecast volatility of the horizon over sigma sqrt(h)
    errors = 2.0 - unit * np.array([-1.0, 0.0, 1.0])
    assert parts.pinball.item() == pytest.approx((errors * LEVELS).mean(), rel=1e-5)
    assert parts.direction.item() == pytest.approx(np.log(1 + np.exp(-0.4)), rel=1e-5)


def test_unknown_labels_and_uncounted_origins_do_not_count_but_nan_forecasts_do():
    label = torch.tensor([[[1.0], [torch.nan], [100.0]]])
    counted = torch.tensor([[True, True, False]])
    labels = Labels(label, label, label, label, counted)
    output = torch.tensor([[[1.0], [2.0], [3.0]]])
    parts = loss_parts(network_output(output), labels, torch.tensor(LEVELS), torch.zeros(1))
    assert parts.qlike.tolist() == [0.0]
    assert parts.pinball.isfinite().all()
    assert parts.direction.isfinite().all()
    output[0, 0] = torch.nan
    parts = loss_parts(network_output(output), labels, torch.tensor(LEVELS), torch.zeros(1))
    assert all(part.isnan().all() for part in parts)


def network_output(forecast_bnh):
    quantiles = forecast_bnh[..., None].expand(-1, -1, -1, len(LEVELS))
    return NetworkOutput(forecast_bnh, quantiles, forecast_bnh, torch.ones(1, 3, 1), torch.ones(1, 3, 1, 1))


def test_qlike_bends_beyond_three_and_is_flat_from_six_on():
    z = torch.tensor([-5.0, 0.0, 2.0, 3.0, 4.5, 6.0, 10.0], requires_grad=True)
    steepest, top = np.exp(3) - 1, np.exp(3) - 4
    expected = [np.exp(-5) + 4, 0.0, np.exp(2) - 3, top, top + 1.125 * steepest, *[top + 1.5 * steepest] * 2]
    found = robust_qlike(z)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    found.sum().backward()
    slopes = [np.exp(-5) - 1, 0.0, np.exp(2) - 1, steepest, steepest / 2, 0.0, 0.0]
    np.testing.assert_allclose(z.grad.numpy(), slopes, rtol=1e-5, atol=1e-6)


def test_quantile_weights_sum_to_one_and_give_the_mean_of_a_symmetric_law():
    found = quantile_weights((0.1, 0.5, 0.9))
    np.testing.assert_allclose(found, [0.3, 0.4, 0.3])
