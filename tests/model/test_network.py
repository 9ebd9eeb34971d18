import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyscale.config.presets import preset
from polyscale.config.run_config import read_config
from polyscale.market.errors import ConfigError
from polyscale.model.kernels.ops import explicit
from polyscale.model.network import MultiScaleAttention, NetworkInput
from polyscale.model.settings import EncoderSettings, NetworkSettings, NetworkSpec
from polyscale.model.state import NetworkState
from polyscale.pipeline.learn import spec_of
from tests.oracles.plain_network import plain_forecast

LOOKBACKS, RATIOS = (40, 13, 7), (1, 4, 16)
LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def make_network(seed=0, lookbacks=LOOKBACKS, window=3, **changes):
    torch.manual_seed(seed)
    encoders = tuple(EncoderSettings(layers=layers, heads=4, window=window) for layers in (3, 2, 1))
    spec = NetworkSpec(
        settings=NetworkSettings(d_model=16, encoders=encoders, key_span=5, **changes),
        scales=("a", "b", "c"),
        lookbacks=lookbacks,
        features=(("x", "y", "z"),) * 3,
        num_origin_inputs=2,
        horizons=("1h", "1d"),
        levels=LEVELS,
    )
    network = MultiScaleAttention(spec)
    for parameter in network.parameters():  # zero heads and biases would hide faults
        torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


def make_input(num_origins=60, batch=2, seed=1, missing=0.1, lookbacks=LOOKBACKS):
    generator = torch.Generator().manual_seed(seed)
    origins = torch.arange(num_origins)
    lasts = [(origins + ratio - 1) // ratio for ratio in RATIOS]
    index = torch.stack([last + rows - 1 for last, rows in zip(lasts, lookbacks, strict=True)], dim=-1)
    sizes = [int(index[:, j].max()) + 1 for j in range(3)]
    return NetworkInput(
        rows=[torch.randn(batch, size, 3, generator=generator) for size in sizes],
        masks=[torch.rand(batch, size, generator=generator) > missing for size in sizes],
        aligned=index.expand(batch, -1, -1),
        origin=torch.randn(batch, num_origins, 2, generator=generator),
        base=torch.randn(batch, num_origins, 2, generator=generator),
        context=tuple(rows - 1 for rows in lookbacks),
    )


def window_of(inputs, n, lookbacks=LOOKBACKS):
    """The same origin alone, with its windows only."""
    rows, masks = [], []
    for j, lookback in enumerate(lookbacks):
        last = int(inputs.aligned[0, n, j])
        rows.append(inputs.rows[j][:, last - lookback + 1 : last + 1])
        masks.append(inputs.masks[j][:, last - lookback + 1 : last + 1])
    index = torch.tensor(lookbacks).sub(1).expand(len(rows[0]), 1, 3)
    origin, base = inputs.origin[:, n : n + 1], inputs.base[:, n : n + 1]
    return NetworkInput(rows, masks, index, origin, base, inputs.context)


def pieces_of(inputs, cuts):
    """The same stretch piece by piece: in each, the rows that became known with its origins."""
    taken, begin = [0, 0, 0], 0
    for stop in (*cuts, inputs.aligned.shape[1]):
        last = [int(inputs.aligned[:, begin:stop, j].max()) + 1 for j in range(3)]
        last = [max(new, old) for new, old in zip(last, taken, strict=True)]
        yield NetworkInput(
            rows=[x[:, i:k] for x, i, k in zip(inputs.rows, taken, last, strict=True)],
            masks=[m[:, i:k] for m, i, k in zip(inputs.masks, taken, last, strict=True)],
            aligned=inputs.aligned[:, begin:stop] - torch.tensor(taken),
            origin=inputs.origin[:, begin:stop],
            base=inputs.base[:, begin:stop],
        )
        taken, begin = last, stop


def joined(outputs):
    return [torch.cat(parts, dim=1) for parts in zip(*outputs, strict=True)]


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, **CLOSE)


@torch.no_grad()
@settings(deadline=None, max_examples=20)
@given(
    lookbacks=st.tuples(st.integers(1, 70), st.integers(1, 30), st.integers(1, 12)),
    window=st.integers(1, 6),
    missing=st.sampled_from([0.0, 0.1, 0.6]),
    cuts=st.lists(st.integers(1, 59), max_size=5, unique=True).map(sorted),
    seed=st.integers(0, 9),
)
def test_window_stretch_and_stream_mode_agree(lookbacks, window, missing, cuts, seed):
    network = make_network(seed, lookbacks, window)
    inputs = make_input(missing=missing, lookbacks=lookbacks, seed=seed)
    stretch = network(inputs)
    assert_same(network(inputs._replace(context=())), stretch)
    state = network.empty_state(2)
    assert_same(joined([network(piece, state) for piece in pieces_of(inputs, cuts)]), stretch)
    for n in (0, 31, 59):
        assert_same(network(window_of(inputs, n, lookbacks)), [whole[:, n : n + 1] for whole in stretch])
    with explicit():
        assert_same(network(inputs), stretch)


@torch.no_grad()
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_a_stream_bar_by_bar_is_the_stretch(missing):
    network, inputs = make_network(), make_input(missing=missing, num_origins=200)
    stretch, state = network(inputs), network.empty_state(2)
    streamed = [network(piece, state) for piece in pieces_of(inputs, range(1, 200))]
    assert_same(joined(streamed), stretch)
    with explicit():
        state = network.empty_state(2)
        assert_same(joined([network(piece, state) for piece in pieces_of(inputs, range(1, 200))]), stretch)


@torch.no_grad()
def test_every_mode_equals_the_plain_network():
    network, inputs = make_network(), make_input(missing=0.3)
    whole = network(inputs)
    for n in (0, 23, 59):
        plain = plain_forecast(network, inputs, 1, n)
        assert_same(plain, [part[1, n] for part in whole])


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
        torch.testing.assert_close(network(later).log_variance, whole[:, first:], **CLOSE)


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
    with pytest.raises(
        ConfigError, match=r"rows of scale a must be \[batch, rows, 3 features\], got \[2, 99, 2\]"
    ):
        network(inputs._replace(rows=[x[..., :2] for x in inputs.rows]))
    with pytest.raises(ConfigError, match=r"reads 3 scales .* got 2 columns of the alignment"):
        network(inputs._replace(aligned=inputs.aligned[..., :2]))
    with pytest.raises(ConfigError, match=r"rows and mask of scale b must be .* got \[2, 28\] and \[2, 27\]"):
        network(inputs._replace(masks=[inputs.masks[0], inputs.masks[1][:, 1:], inputs.masks[2]]))
    with pytest.raises(ConfigError, match=r"base must be \[2, 60, 2\], got \[2, 60, 1\]"):
        network(inputs._replace(base=inputs.base[..., :1]))


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


@torch.no_grad()
def test_a_state_can_be_copied_saved_cut_and_joined():
    network, inputs = make_network(), make_input(batch=3)
    state = network.empty_state(3)
    pieces = list(pieces_of(inputs, range(1, 60)))
    for piece in pieces[:40]:
        network(piece, state)
    kept, saved = state.clone(), state.tensors()
    parts = [state.select([2]), state.select([0, 1])]
    expected = joined([network(piece, state) for piece in pieces[40:]])
    assert_same(joined([network(piece, kept) for piece in pieces[40:]]), expected)
    restored = network.empty_state(3).restored(saved)
    assert_same(joined([network(piece, restored) for piece in pieces[40:]]), expected)
    stacked = NetworkState.stack(parts).to("cpu")
    found = joined([network(take_symbols(piece, [2, 0, 1]), stacked) for piece in pieces[40:]])
    assert_same(found, [part[[2, 0, 1]] for part in expected])
    assert stacked.num_bytes == state.num_bytes == 3 * network.empty_state(1).num_bytes


def take_symbols(inputs, order):
    return NetworkInput(
        [x[order] for x in inputs.rows],
        [m[order] for m in inputs.masks],
        *(getattr(inputs, name)[order] for name in ("aligned", "origin", "base")),
    )


@torch.no_grad()
def test_a_state_of_another_config_is_refused():
    network, inputs = make_network(), make_input()
    with pytest.raises(ConfigError, match="a state of 3 symbols cannot take rows of 2"):
        network(inputs, network.empty_state(3))
    other = make_network(lookbacks=(41, 13, 7))
    with pytest.raises(ConfigError, match=r"must have \(rows, width\) .* got .* another config"):
        network(inputs, other.empty_state(2))
    with pytest.raises(ConfigError, match="must hold 24 tensors of this network, got 1"):
        network.empty_state(2).restored({"0.values": torch.zeros(1)})
    with pytest.raises(ConfigError, match="must hold at least one state"):
        NetworkState.stack([])


@torch.no_grad()
def test_an_origin_without_any_scale_is_finite():
    network, inputs = make_network(), make_input()
    output = network(inputs._replace(masks=[torch.zeros_like(mask) for mask in inputs.masks]))
    assert all(part.isfinite().all() for part in output)
    assert (output.scale_weights == 0).all()


def test_nothing_in_it_is_bound_to_a_device():
    network, inputs = make_network().to("meta"), make_input()
    moved = NetworkInput(
        [x.to("meta") for x in inputs.rows],
        [m.to("meta") for m in inputs.masks],
        *(getattr(inputs, name).to("meta") for name in ("aligned", "origin", "base")),
        inputs.context,
    )
    assert {part.device.type for part in network(moved)} == {"meta"}
    assert {part.device.type for part in network(moved, network.empty_state(2))} == {"meta"}


@torch.no_grad()
def test_threads_change_nothing_but_rounding():
    network, inputs = make_network(), make_input(num_origins=300)
    alone = network(inputs)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert_same(network(inputs), alone)
    finally:
        torch.set_num_threads(before)


def test_the_preset_of_the_chapters_table_is_small_enough():
    network = MultiScaleAttention(spec_of(read_config(preset("full"))))
    assert network.num_parameters <= 3_200_000
    assert [reach.lookback for reach in (encoder.reach for encoder in network.encoders)] == [
        1440,
        288,
        168,
        252,
    ]
