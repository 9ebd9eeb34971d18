"""Training and forecasting on windows: in place, on the rows that they share, better than a constant."""

import numpy as np
import pytest
import torch

from polyscale.chapter import MultiScaleAttention, multi_horizon_predict, train_multi_scale_model
from polyscale.market.errors import ConfigError, DataError
from tests.chapter.candles import LOOKBACK, random_windows, windows

KEYS = ["short_term", "medium_term", "long_term", "direction"]


def small_model(seed=0, **words):
    torch.manual_seed(seed)
    sizes = {"d_model": 16, "n_heads": 2, "n_encoder_layers": 1, "lookback": {"1min": 12, "1H": 8}}
    return MultiScaleAttention({"1min": 5, "1H": 5}, **{**sizes, **words})


@pytest.fixture(scope="module")
def trained():
    """A network that has seen a market in which volatility can be forecast."""
    train, validate, test = windows(40, "planted", 3).split(0.6, 0.2)
    torch.manual_seed(1)
    widths = {scale: x.shape[2] for scale, x in train.X.items()}
    model = MultiScaleAttention(widths, d_model=16, n_encoder_layers=1, lookback=LOOKBACK)
    history = train_multi_scale_model(
        model, train.data, validate.data, epochs=4, batch_size=128, learning_rate=0.003
    )
    return model, history, test


def test_history_has_the_chapters_keys_and_a_number_per_epoch(trained):
    _, history, _ = trained
    assert list(history) == ["train_loss", "val_loss", "val_direction_acc"]
    assert all(len(numbers) == 4 and np.isfinite(numbers).all() for numbers in history.values())
    assert all(0 <= share <= 1 for share in history["val_direction_acc"])


def test_it_learns_more_than_a_constant_says(trained):
    _, history, _ = trained
    assert history["train_loss"][-1] < history["train_loss"][0]
    assert min(history["val_loss"]) < 1.6  # the constant has 1.7


def test_a_forecast_has_the_chapters_keys_one_row_per_window(trained):
    model, _, test = trained
    found = multi_horizon_predict(model, test.X)
    assert list(found) == [*KEYS, "attention"]
    assert all(found[term].shape == (len(test),) for term in KEYS[:3])
    assert found["direction"].shape == (len(test), 3)
    assert ((found["direction"] > 0) & (found["direction"] < 1)).all()
    np.testing.assert_allclose(found["attention"].sum(axis=-1), 1.0, atol=1e-6)
    assert all(np.isfinite(values).all() for values in found.values())


def test_shared_rows_give_what_each_window_alone_gives(trained):
    model, _, test = trained
    found = multi_horizon_predict(model, test.X)
    with torch.no_grad():
        alone = model({s: torch.from_numpy(x[::37]) for s, x in test.X.items()}, return_attention=True)
    for name, values in found.items():
        np.testing.assert_allclose(values[::37], alone[name].numpy(), rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_order_of_windows_and_older_rows_change_no_forecast(trained):
    model, _, test = trained
    part = test[:60]
    order = np.random.default_rng(0).permutation(60)
    longer = {
        s: np.concatenate([np.ones((60, 5, x.shape[2]), np.float32), x], axis=1) for s, x in part.X.items()
    }
    expected = multi_horizon_predict(model, part.X)
    shuffled = multi_horizon_predict(model, {s: x[order] for s, x in part.X.items()})
    lengthened = multi_horizon_predict(model, longer)
    for name, values in expected.items():
        np.testing.assert_allclose(shuffled[name], values[order], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(lengthened[name], values, rtol=1e-4, atol=1e-6)


def test_training_windows_in_any_order_is_the_same_job():
    x, y = random_windows(64)
    order = np.random.default_rng(1).permutation(64)
    histories = []
    for rows in (np.arange(64), order):
        part = ({s: a[rows] for s, a in x.items()}, y[rows])
        histories.append(train_multi_scale_model(small_model(), part, (x, y), epochs=2, batch_size=64))
    for first, second in zip(*(h["val_loss"] for h in histories), strict=True):
        assert first == pytest.approx(second, rel=0.02)  # the same windows in batches of another make-up


def test_inputs_are_scaled_by_the_training_windows_alone():
    x, y = random_windows(64)
    big = {s: 1_000 * a + 5 for s, a in x.items()}
    models = [small_model(), small_model()]
    for model, arrays in zip(models, (x, big), strict=True):
        train_multi_scale_model(model, (arrays, y), (arrays, y), epochs=1)
    first, second = (multi_horizon_predict(m, a) for m, a in zip(models, (x, big), strict=True))
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-2, atol=1e-4)
    model = small_model()
    train_multi_scale_model(model, (x, y), ({s: 100 * a for s, a in x.items()}, y), epochs=1)
    torch.testing.assert_close(model.median, models[0].median)


def test_training_goes_on_from_the_models_own_weights():
    x, y = random_windows(64)
    model, other = small_model(0), small_model(5)
    seen = multi_horizon_predict(model, x)["direction"]
    train_multi_scale_model(model, (x, y), (x, y), epochs=1, learning_rate=1e-9)
    train_multi_scale_model(other, (x, y), (x, y), epochs=1, learning_rate=1e-9)
    weights = [m.network.encoders[0].stem.embed.weight for m in (model, other)]
    assert (weights[0] - weights[1]).abs().max() > 0.01
    torch.testing.assert_close(weights[0], small_model(0).network.encoders[0].stem.embed.weight)
    assert seen.shape == (64, 3)


def test_returns_that_are_not_known_are_no_labels():
    x, y = random_windows(64)
    unknown = y.copy()
    unknown[::2, 2] = np.nan
    history = train_multi_scale_model(small_model(), (x, unknown), (x, unknown), epochs=1)
    assert np.isfinite(history["val_loss"][0])


def test_a_price_that_does_not_move_is_neither_up_nor_down():
    x, y = random_windows(64)
    still = np.where(np.arange(64)[:, None] % 2 == 0, 0.0, np.abs(y))
    history = train_multi_scale_model(small_model(), (x, still), (x, still), epochs=2, learning_rate=0.01)
    assert history["val_direction_acc"][-1] == 1.0  # of the half that moved, all went up


def test_gradients_reach_every_part_through_the_models_own_call():
    x, _ = random_windows(8)
    model = small_model(d_model=16).train()
    given = {s: torch.from_numpy(a) for s, a in x.items()}
    torch.nn.init.normal_(model.network.heads.output.weight)
    out = model(given)
    sum(out[name].sum() for name in KEYS).backward()
    blind = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert blind == []


def test_a_missing_scale_is_left_out_of_attention_and_no_number_is_lost():
    x, y = random_windows(64)
    x["1H"][:, -1] = np.nan
    x["1H"][::2] = np.nan
    model = small_model()
    train_multi_scale_model(model, (x, y), (x, y), epochs=1)
    found = multi_horizon_predict(model, x)
    assert all(np.isfinite(values).all() for values in found.values())
    np.testing.assert_allclose(found["attention"][:, 0, 0], 1.0, atol=1e-6)


def test_scales_are_ordered_from_fine_to_coarse_however_they_are_named():
    model = MultiScaleAttention({"1D": 2, "1min": 3, "1H": 4}, d_model=8, n_heads=2, n_encoder_layers=1)
    assert model.scales == ("1min", "1H", "1D")
    assert model.lookbacks == {"1min": 1_440, "1H": 168, "1D": 252}
    assert [len(names) for names in model.network.spec.features] == [3, 4, 2]


@pytest.mark.parametrize(
    ("job", "error", "says"),
    [
        (
            lambda m, x, y: train_multi_scale_model(m, (x, y[:, :2]), (x, y)),
            DataError,
            "64 windows, 3 horizons",
        ),
        (lambda m, x, y: train_multi_scale_model(m, x, (x, y)), ConfigError, "or a pair"),
        (lambda m, x, y: train_multi_scale_model(m, (x, y), None), ConfigError, "or a pair"),
        (
            lambda m, x, y: train_multi_scale_model(m, (x, y), (x, y), device="cuda"),
            ConfigError,
            "must be cpu",
        ),
        (lambda m, x, y: train_multi_scale_model(m, (x, y), (x, y), batch_size=0), ConfigError, "batch_size"),
        (lambda m, x, y: train_multi_scale_model(m, (x, y * np.nan), (x, y)), DataError, "a return of every"),
        (lambda m, x, y: multi_horizon_predict(m, {"1H": x["1H"]}), DataError, "model's scales"),
        (
            lambda m, x, y: multi_horizon_predict(m, {s: a[:, 4:] for s, a in x.items()}),
            DataError,
            r"windows of 1min must be \[N, rows >= 12, 5 features\], got \(64, 8, 5\)",
        ),
        (
            lambda m, x, y: multi_horizon_predict(m, {s: a * np.nan for s, a in x.items()}),
            DataError,
            "64 of 64 have none, the first is window 0",
        ),
        (lambda m, x, y: m({s: torch.from_numpy(a[..., :3]) for s, a in x.items()}), DataError, "5 features"),
        (lambda m, x, y: m({"1H": torch.zeros(1, 8, 5)}), DataError, "inputs must be the scales"),
    ],
)
def test_what_does_not_fit_is_refused_with_rule_and_value(job, error, says):
    x, y = random_windows(64)
    with pytest.raises(error, match=says):
        job(small_model(), x, y)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"n_heads": 3}, "n_heads must divide d_model \\(16\\), got 3"),
        ({"horizons": ("1H", "1D")}, "three that rise"),
        ({"lookback": {"1min": 12}}, "one for each scale"),
    ],
)
def test_a_model_that_cannot_be_is_refused(words, says):
    with pytest.raises(ConfigError, match=says):
        small_model(**words)


def test_windows_train_as_their_arrays_do_and_must_have_the_models_horizons():
    train, validate, _ = windows(40, "planted", 3).split(0.6, 0.2)
    widths = {scale: x.shape[2] for scale, x in train.X.items()}
    histories = []
    for given in ((train, validate), (train.data, validate.data)):
        torch.manual_seed(2)
        model = MultiScaleAttention(widths, d_model=8, n_heads=2, n_encoder_layers=1, lookback=LOOKBACK)
        histories.append(train_multi_scale_model(model, *given, epochs=1, batch_size=512))
    assert histories[0] == histories[1]
    other = MultiScaleAttention(
        widths, d_model=8, n_heads=2, lookback=LOOKBACK, horizons=("15min", "1H", "4H")
    )
    with pytest.raises(ConfigError, match=r"model, \['15m', '1h', '4h'\], got \['5m', '1h', '1d'\]"):
        train_multi_scale_model(other, train, validate)


def test_a_training_that_fails_leaves_the_model_as_it_was(monkeypatch):
    from polyscale.training import fit

    def interrupt(*args, **words):
        raise KeyboardInterrupt

    x, y = random_windows(64)
    model = small_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    monkeypatch.setattr(fit, "fit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_multi_scale_model(model, (x, y), (x, y), epochs=1)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
