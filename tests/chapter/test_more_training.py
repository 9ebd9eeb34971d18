"""What was learned comes out again: side, size and order of the horizons, by each scale's own scaler."""

import numpy as np
import pytest
import torch

from polyscale.chapter import MultiScaleAttention, multi_horizon_predict, train_multi_scale_model
from polyscale.chapter.panel import shared_rows
from polyscale.chapter.predict import stretch_of
from tests.chapter.candles import random_windows
from tests.chapter.test_training import KEYS, small_model

SIZES = np.array([0.001, 0.01, 0.05])


def sided(x, y, side):
    """Returns of one side, of another size for every horizon."""
    return x, side * SIZES * np.abs(y / 0.01)


@pytest.mark.parametrize("side", [1, -1])
def test_returns_of_one_side_are_forecast_on_that_side_and_of_their_size(side):
    x, y = random_windows(256)
    data = sided(x, y, side)
    model = small_model()
    train_multi_scale_model(model, data, data, epochs=6, batch_size=64, learning_rate=0.01)
    found = multi_horizon_predict(model, x)
    assert (side * (found["direction"] - 0.5) > 0).all()
    expected = np.column_stack([found[term] for term in KEYS[:3]])
    np.testing.assert_allclose(expected.mean(axis=0), data[1].mean(axis=0), rtol=0.25)


def test_the_side_that_a_feature_tells_is_learned():
    x, y = random_windows(512)
    sign = np.sign(x["1min"][:, -1, 0])
    y = np.abs(y) * sign[:, None]
    model = small_model()
    history = train_multi_scale_model(model, (x, y), (x, y), epochs=30, batch_size=64, learning_rate=0.01)
    assert history["val_direction_acc"][-1] > 0.9
    up = multi_horizon_predict(model, x)["direction"]
    assert (((up > 0.5) == (sign > 0)[:, None]).mean(axis=0) > 0.9).all()


def test_every_scale_keeps_the_scaler_of_its_own_rows():
    x, y = random_windows(64, scales={"1H": 8, "5min": 12}, width=2)
    x = {"1H": 100 + 10 * x["1H"], "5min": -5 + 0.1 * x["5min"]}
    torch.manual_seed(0)
    model = MultiScaleAttention(
        {"1H": 2, "5min": 2}, d_model=16, n_heads=2, n_encoder_layers=1, lookback={"1H": 8, "5min": 12}
    )
    assert model.scales == ("5min", "1H")
    train_multi_scale_model(model, (x, y), (x, y), epochs=1)
    for j, scale in enumerate(model.scales):
        rows = x[scale].reshape(-1, 2)
        median, spread = model.scaler(j)
        np.testing.assert_allclose(median, np.median(rows, axis=0), rtol=1e-5)
        low, high = np.percentile(rows, [25, 75], axis=0)
        np.testing.assert_allclose(spread, (high - low) / 1.349, rtol=1e-4)
    with torch.no_grad():
        alone = model({s: torch.from_numpy(a) for s, a in x.items()}, return_attention=True)
    for name, values in multi_horizon_predict(model, x).items():
        np.testing.assert_allclose(values, alone[name].numpy(), rtol=1e-4, atol=1e-6)


def test_validation_is_what_is_validated_and_the_best_epoch_is_kept():
    x, y = random_windows(128)
    train = (x, np.abs(y))
    validate = ({s: a[:64] for s, a in x.items()}, -np.abs(y[:64]))
    model = small_model()
    history = train_multi_scale_model(
        model, train, validate, epochs=8, batch_size=16, learning_rate=0.02, patience=8
    )
    assert history["train_loss"][-1] < history["train_loss"][0]
    assert history["val_loss"][-1] > history["val_loss"][0]  # what is learned is wrong there
    up = multi_horizon_predict(model, x)["direction"]
    other = small_model()
    train_multi_scale_model(other, train, validate, epochs=1, batch_size=16, learning_rate=0.02)
    np.testing.assert_allclose(up, multi_horizon_predict(other, x)["direction"], atol=0.05)


def test_a_price_that_does_not_move_says_nothing_of_volatility():
    x, y = random_windows(256)
    still = np.where(np.arange(256)[:, None] % 8 == 0, 0.0, y)
    history = train_multi_scale_model(small_model(), (x, still), (x, y), epochs=1, learning_rate=1e-6)
    assert history["val_loss"][0] == pytest.approx(1.7, abs=0.2)
    history = train_multi_scale_model(small_model(), (x, y), (x, still), epochs=1, learning_rate=1e-6)
    assert history["val_loss"][0] == pytest.approx(1.7, abs=0.2)


def test_before_training_the_forecast_is_that_of_a_return_of_variance_one():
    x, _ = random_windows(8)
    model = small_model()
    out = model.eval()({s: torch.from_numpy(a) for s, a in x.items()})
    assert all(out[term].abs().max() < 0.01 for term in KEYS[:3])
    torch.testing.assert_close(model.base_log_variance, -torch.tensor([5.0, 60.0, 1_440.0]).log())


def test_a_models_call_takes_the_newest_rows_of_longer_windows():
    x, _ = random_windows(4)
    model = small_model()
    torch.nn.init.normal_(model.network.heads.output.weight)
    longer = {s: np.concatenate([a[:, :3] + 1, a], axis=1) for s, a in x.items()}
    for name, values in model.eval()(longer, return_attention=True).items():
        torch.testing.assert_close(values, model(x, return_attention=True)[name])


def test_windows_that_share_nothing_are_forecast_in_shorter_stretches():
    x, _ = random_windows(3_000, scales={"1min": 60, "1H": 8})
    model = small_model(lookback={"1min": 60, "1H": 8})
    torch.nn.init.normal_(model.network.heads.output.weight)
    shared = shared_rows(model, x)
    assert stretch_of(shared) == 1_024
    assert stretch_of(shared._replace(last=shared.last * 4)) == 256
    assert stretch_of(shared._replace(last=shared.last[:1])) == 1_024
    found = multi_horizon_predict(model, x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("polyscale.chapter.predict._MOST_ROWS", 1_000)
        assert stretch_of(shared) == 16
        again = multi_horizon_predict(model, x)
    for name, values in found.items():
        np.testing.assert_allclose(again[name], values, rtol=1e-4, atol=1e-4)


def test_a_models_call_masks_what_is_missing_as_a_forecast_does():
    x, _ = random_windows(16)
    x["1min"][:, 3:6, 0] = np.nan
    x["1H"][::2, -1] = np.nan
    model = small_model()
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.normal_(0, 0.2)
    found = multi_horizon_predict(model, x)
    with torch.no_grad():
        alone = model({s: torch.from_numpy(a) for s, a in x.items()}, return_attention=True)
    for name, values in found.items():
        np.testing.assert_allclose(values, alone[name].numpy(), rtol=1e-3, atol=1e-5, err_msg=name)
    assert (found["attention"][::2, 0, 1] == 0).all()
    assert (found["attention"][1::2, 0, 1] > 0).all()


def test_a_clipped_input_moves_a_forecast_no_further():
    x, _ = random_windows(4)
    x["1min"][:, -1, 0] = 50.0
    far = {**x, "1min": np.where(x["1min"] == 50.0, 5_000.0, x["1min"]).astype(np.float32)}
    model = small_model()
    torch.nn.init.normal_(model.network.heads.output.weight)
    for name, values in multi_horizon_predict(model, x).items():
        np.testing.assert_array_equal(values, multi_horizon_predict(model, far)[name])
