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
    return NetworkInput(rows, masks, index, origin, base, inputs.context, inputs.symbols)


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
            symbols=inputs.symbols,
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
    across=st.booleans(),
)
def test_window_stretch_and_stream_mode_agree(lookbacks, window, missing, cuts, seed, across):
    network = make_network(seed, lookbacks, window, across_symbols=across)
    inputs = make_input(missing=missing, lookbacks=lookbacks, seed=seed)._replace(symbols=2 if across else 1)
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
@pytest.mark.parametrize("across", [False, True])
def test_every_mode_equals_the_plain_network(across):
    network = make_network(across_symbols=across)
    inputs = make_input(missing=0.3, batch=4)._replace(symbols=2 if across else 1)
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


@pytest.mark.parametrize("across", [False, True])
def test_the_gradient_reaches_every_parameter(across):
    network = make_network(across_symbols=across).train()
    output = network(make_input(missing=0.0)._replace(symbols=2 if across else 1))
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
    with pytest.raises(ConfigError, match="must be whole groups of 3 >= 1 symbols, got 2"):
        network(inputs._replace(symbols=3))


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


@torch.no_grad()
def test_rows_that_are_not_there_or_are_context_are_named():
    network, inputs = make_network(), make_input()
    for changed, rule in (
        (inputs.aligned + 1, r"aligned to rows -1\.\.98 of scale a \(-1 is none\) or to NONE, got 99"),
        (inputs.aligned.clone().fill_(-2), r"aligned to rows -1\.\.98 of scale a .* got -2"),
        (inputs.aligned - 1, "first 39 rows of scale a, which are said to be context, got row 38"),
    ):
        with pytest.raises(ConfigError, match=rule):
            network(inputs._replace(aligned=changed))
    with pytest.raises(ConfigError, match="mask of scale a must be boolean"):
        network(inputs._replace(masks=[inputs.masks[0].float(), *inputs.masks[1:]]))
    piece = next(pieces_of(inputs, [30]))
    state = network.empty_state(2)
    before = [buffer.values.clone() for buffer in state.buffers]
    with pytest.raises(ConfigError, match="-1 is the newest carried one"):
        network(piece._replace(aligned=piece.aligned - 200), state)
    assert all(buffer.values.equal(old) for buffer, old in zip(state.buffers, before, strict=True))


def test_a_scale_without_a_known_row_takes_no_part_and_looks_at_no_row():
    network, inputs = make_network(), make_input(missing=0.0)
    aligned = inputs.aligned.clone()
    aligned[:, :20, 2] = -1
    rows = [x.requires_grad_() for x in inputs.rows]
    output = network(inputs._replace(rows=rows, aligned=aligned))
    output.log_variance[:, :20].sum().backward()
    assert (rows[2].grad == 0).all()
    assert (output.scale_weights[:, :20, 2] == 0).all()
    with torch.no_grad():
        plain = plain_forecast(network, inputs._replace(aligned=aligned), 1, 7)
        assert_same(plain, [part[1, 7] for part in output])


@torch.no_grad()
def test_samples_of_a_batch_may_stand_at_different_phases():
    network, inputs = make_network(), make_input(num_origins=120)
    first = [part[:, :80] for part in (inputs.aligned, inputs.origin, inputs.base)]
    later = [part[:, 29:109] for part in (inputs.aligned, inputs.origin, inputs.base)]
    mixed = inputs._replace(
        **{
            name: torch.cat([a[:1], b[1:]])
            for name, a, b in zip(("aligned", "origin", "base"), first, later, strict=True)
        }
    )
    whole, found = network(inputs), network(mixed)
    assert_same([part[0] for part in found], [part[0, :80] for part in whole])
    assert_same([part[1] for part in found], [part[1, 29:109] for part in whole])


def test_a_missing_row_may_hold_anything():
    network, inputs = make_network(), make_input(missing=0.3)
    broken = [
        x.masked_fill(~m[..., None], float("nan")) for x, m in zip(inputs.rows, inputs.masks, strict=True)
    ]
    with torch.no_grad():
        assert_same(network(inputs._replace(rows=broken)), network(inputs))


def test_a_bar_of_a_stream_has_its_gradient():
    network, inputs = make_network(), make_input(missing=0.0)
    *before, last = pieces_of(inputs, range(1, 60))
    gradients = []
    for switch in (False, True):
        state = network.empty_state(2)
        with torch.no_grad():
            for piece in before:
                network(piece, state)
        network.zero_grad()
        if switch:
            with explicit():
                network(last, state).log_variance.sum().backward()
        else:
            network(last, state).log_variance.sum().backward()
        gradients.append(network.encoders[0].layers[0].attention.query.weight.grad.clone())
    assert gradients[0].abs().sum() > 0
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-3)


@torch.no_grad()
def test_no_origin_and_no_sample_are_no_error():
    network, inputs = make_network(), make_input()
    nothing = inputs._replace(
        **{name: getattr(inputs, name)[:, :0] for name in ("aligned", "origin", "base")}
    )
    assert network(nothing).log_variance.shape == (2, 0, 2)
    state = network.empty_state(2)
    piece = next(pieces_of(inputs, [30]))
    network(
        piece._replace(**{name: getattr(piece, name)[:, :0] for name in ("aligned", "origin", "base")}), state
    )
    later = list(pieces_of(inputs, [30]))[1]
    torch.testing.assert_close(
        network(later, state).log_variance, network(inputs).log_variance[:, 30:], **CLOSE
    )
    assert network(take_symbols(inputs, [])).log_variance.shape == (0, 60, 2)


@torch.no_grad()
def test_saved_and_moved_states_share_no_memory():
    network, inputs = make_network(), make_input()
    state, pieces = network.empty_state(2), list(pieces_of(inputs, range(1, 60)))
    for piece in pieces[:50]:
        network(piece, state)
    saved, moved = state.tensors(), state.to("cpu")
    expected = joined([network(piece, state) for piece in pieces[50:]])
    for other in (moved, network.empty_state(2).restored(saved), network.empty_state(2).restored(saved)):
        assert_same(joined([network(piece, other) for piece in pieces[50:]]), expected)
    with pytest.raises(ConfigError, match="values and masks must be of 2 symbols"):
        network.empty_state(2).restored(saved | {"0.mask": saved["0.mask"][:1]})


def test_a_checkpointed_network_streams_all_the_same():
    network, inputs = make_network(scale_dropout=0.0), make_input()
    network.set_checkpointing(True)
    for encoder in network.encoders:
        encoder.training = True  # of dropout none: only the way through the layers
    state = network.empty_state(2)
    with torch.no_grad():
        found = joined([network(piece, state) for piece in pieces_of(inputs, [20, 40])])
        assert_same(found, make_network(scale_dropout=0.0)(inputs))


def test_the_gradient_reaches_every_parameter_of_a_single_scale():
    torch.manual_seed(0)
    encoders = (EncoderSettings(layers=1, heads=4),)
    for lookback in (1, 30):
        spec = NetworkSpec(
            settings=NetworkSettings(d_model=16, encoders=encoders, scale_dropout=0),
            scales=("a",),
            lookbacks=(lookback,),
            features=(("x", "y", "z"),),
            num_origin_inputs=2,
            horizons=("1h", "1d"),
            levels=LEVELS,
        )
        network, inputs = MultiScaleAttention(spec), make_input(lookbacks=(lookback, 1, 1), missing=0.0)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        one = inputs._replace(
            rows=inputs.rows[:1], masks=inputs.masks[:1], aligned=inputs.aligned[..., :1], context=()
        )
        out = network(one)
        (out.log_variance.sum() + out.quantiles.pow(2).sum() + out.up_logit.sum()).backward()
        trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
        assert [name for name, p in trained if p.grad is None or not p.grad.abs().sum() > 0] == []
