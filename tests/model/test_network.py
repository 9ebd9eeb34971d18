import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyscale.market.errors import ConfigError
from polyscale.model.network import MultiScaleAttention, NetworkInput
from polyscale.model.settings import EncoderSettings, NetworkSettings, NetworkSpec

LOOKBACKS, RATIOS = (40, 13, 7), (1, 4, 16)
LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)


def make_network(seed=0, **changes):
    torch.manual_seed(seed)
    encoders = tuple(EncoderSettings(layers=layers, heads=4) for layers in (3, 2, 1))
    spec = NetworkSpec(
        settings=NetworkSettings(d_model=16, encoders=encoders, key_span=5, **changes),
        scales=("a", "b", "c"),
        lookbacks=LOOKBACKS,
        features=(("x", "y", "z"),) * 3,
        num_origin_inputs=2,
        horizons=("1h", "1d"),
        levels=LEVELS,
    )
    network = MultiScaleAttention(spec)
    for parameter in network.parameters():  # zero heads and biases would hide faults
        torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


def make_input(num_origins=60, batch=2, seed=1, missing=0.1):
    generator = torch.Generator().manual_seed(seed)
    origins = torch.arange(num_origins)
    lasts = [(origins + ratio - 1) // ratio for ratio in RATIOS]
    index = torch.stack([last + rows - 1 for last, rows in zip(lasts, LOOKBACKS, strict=True)], dim=-1)
    sizes = [int(index[:, j].max()) + 1 for j in range(3)]
    return NetworkInput(
        rows=[torch.randn(batch, size, 3, generator=generator) for size in sizes],
        masks=[torch.rand(batch, size, generator=generator) > missing for size in sizes],
        aligned=index.expand(batch, -1, -1),
        origin=torch.randn(batch, num_origins, 2, generator=generator),
        base=torch.randn(batch, num_origins, 2, generator=generator),
    )


def window_of(inputs, n):
    """The same origin alone, with its windows only."""
    rows, masks = [], []
    for j, lookback in enumerate(LOOKBACKS):
        last = int(inputs.aligned[0, n, j])
        rows.append(inputs.rows[j][:, last - lookback + 1 : last + 1])
        masks.append(inputs.masks[j][:, last - lookback + 1 : last + 1])
    index = torch.tensor(LOOKBACKS).sub(1).expand(len(rows[0]), 1, 3)
    return NetworkInput(rows, masks, index, inputs.origin[:, n : n + 1], inputs.base[:, n : n + 1])


@torch.no_grad()
def test_window_mode_equals_stretch_mode_at_every_origin():
    network, inputs = make_network(), make_input()
    stretch = network(inputs)
    for n in range(60):
        for whole, alone in zip(stretch, network(window_of(inputs, n)), strict=True):
            torch.testing.assert_close(whole[:, n], alone[:, 0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_stretch_cut_anywhere_gives_the_same_forecasts():
    network, inputs = make_network(), make_input()
    whole = network(inputs).log_variance
    for first in (7, 31, 48):
        later = inputs._replace(
            aligned=inputs.aligned[:, first:], origin=inputs.origin[:, first:], base=inputs.base[:, first:]
        )
        starts = [int(inputs.aligned[0, first, j]) - lookback + 1 for j, lookback in enumerate(LOOKBACKS)]
        later = later._replace(
            rows=[rows[:, start:] for rows, start in zip(inputs.rows, starts, strict=True)],
            masks=[masks[:, start:] for masks, start in zip(inputs.masks, starts, strict=True)],
            aligned=later.aligned - torch.tensor(starts),
        )
        torch.testing.assert_close(network(later).log_variance, whole[:, first:], atol=1e-5, rtol=1e-5)


def influence(network, n, missing=0.0):
    """Gradient of the forecasts of origin n with respect to every row of every scale."""
    inputs = make_input(missing=missing, batch=1)
    rows = [x.requires_grad_() for x in inputs.rows]
    output = network(inputs._replace(rows=rows))
    (output.log_variance[:, n].sum() + output.quantiles[:, n].sum() + output.up_logit[:, n].sum()).backward()
    return inputs, [x.grad.abs().sum(dim=(0, 2)) for x in rows]


def test_rows_outside_the_lookback_have_no_influence_and_rows_inside_have_some():
    n = 37
    inputs, gradients = influence(make_network(), n)
    for j, gradient in enumerate(gradients):
        last = int(inputs.aligned[0, n, j])
        inside = torch.zeros_like(gradient, dtype=torch.bool)
        inside[last - LOOKBACKS[j] + 1 : last + 1] = True
        assert (gradient[~inside] == 0).all()
        assert (gradient[inside] > 0).all()


def test_missing_rows_have_no_influence():
    inputs, gradients = influence(make_network(), 37, missing=0.3)
    for mask, gradient in zip(inputs.masks, gradients, strict=True):
        assert (gradient[~mask[0]] == 0).all()


@torch.no_grad()
def test_weights_sum_to_one_and_an_absent_scale_has_none():
    network, inputs = make_network(), make_input(missing=0.0)
    masks = [inputs.masks[0], torch.zeros_like(inputs.masks[1]), inputs.masks[2]]
    output = network(inputs._replace(masks=masks))
    torch.testing.assert_close(output.scale_weights.sum(-1), torch.ones(2, 60))
    torch.testing.assert_close(output.cross_attention.sum(-1), torch.ones(2, 60, 3))
    assert (output.scale_weights[..., 1] == 0).all()
    assert (output.cross_attention[..., 1] == 0).all()


@torch.no_grad()
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 20))
def test_quantiles_never_cross(seed, scale):
    network = make_network(seed)
    inputs = make_input(num_origins=8, seed=seed)
    output = network(inputs._replace(rows=[scale * rows for rows in inputs.rows]))
    assert (output.quantiles.diff(dim=-1) > 0).all()


@torch.no_grad()
def test_the_zeroed_network_is_the_base_forecast():
    network, inputs = make_network(), make_input()
    network.heads.reset()
    quantiles = torch.tensor([[-2.0, -1.2, 0.1, 1.3, 2.1], [-1.9, -1.0, 0.0, 1.1, 2.5]])
    network.heads.set_base_quantiles(quantiles)
    output = network(inputs)
    torch.testing.assert_close(output.log_variance, inputs.base)
    torch.testing.assert_close(output.quantiles, quantiles.expand(2, 60, -1, -1), atol=1e-5, rtol=1e-5)
    assert (output.up_logit == 0).all()


def test_the_gradient_reaches_every_parameter():
    network = make_network().train()
    output = network(make_input(missing=0.0))
    (output.log_variance.sum() + output.quantiles.pow(2).sum() + output.up_logit.sum()).backward()
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    dead = [name for name, p in trained if p.grad is None or not p.grad.abs().sum() > 0]
    assert dead == []


def test_scale_dropout_never_takes_the_last_scale():
    network = make_network(scale_dropout=0.9).train()
    only_first = torch.zeros(3, 50, 3, dtype=torch.bool)
    only_first[..., 0] = True
    assert network._drop_scales(only_first).equal(only_first)
    everything = torch.ones(3, 50, 3, dtype=torch.bool)
    left = network._drop_scales(everything).sum(-1)
    assert set(left.unique().tolist()) == {2, 3}


def test_wrong_inputs_are_named():
    network, inputs = make_network(), make_input()
    with pytest.raises(ConfigError, match=r"reads 3 scales .* got 2 tensors"):
        network(inputs._replace(rows=inputs.rows[:2]))
    with pytest.raises(ConfigError, match="rows of scale a must have 3 features, got 2"):
        network(inputs._replace(rows=[x[..., :2] for x in inputs.rows]))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"d_model": 18}, "must divide d_model"),
        ({"cross_heads": 3}, "cross_heads must divide d_model"),
    ],
)
def test_heads_must_divide_the_width(change, rule):
    with pytest.raises(ValueError, match=rule):
        NetworkSettings(**{"d_model": 16, "encoders": [EncoderSettings(heads=4)], **change})
