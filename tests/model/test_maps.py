import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyscale.model.maps import attention_maps, over_rows
from polyscale.model.reach import reach_of
from polyscale.model.recorder import recording
from tests.model.test_network import LOOKBACKS, make_input, make_network, window_of
from tests.model.test_parts import levels_of_a_layer, make_layer

CLOSE = {"atol": 1e-5, "rtol": 1e-4}


def plain_over_rows(keys, mask, levels):
    """One row, one key at a time."""
    batch, num_asking, _ = keys.shape
    found = torch.zeros(batch, num_asking, reach_of(levels))
    for b in range(batch):
        for q in range(num_asking):
            asking, back, number = mask.shape[1] - num_asking + q, 0, 0
            for level, slots in enumerate(levels):
                for _ in range(slots):
                    there = [
                        r for r in range(back, back + 2**level) if asking - r >= 0 and mask[b, asking - r]
                    ]
                    for r in there:
                        found[b, q, r] = keys[b, q, number] / len(there)
                    back, number = back + 2**level, number + 1
    return found


@settings(deadline=None, max_examples=30)
@given(rows=st.integers(1, 30), levels=levels_of_a_layer, seed=st.integers(0, 99), data=st.data())
def test_weights_over_rows_equal_their_plain_twin(rows, levels, seed, data):
    torch.manual_seed(seed)
    mask = torch.rand(2, rows) > 0.3
    keys = torch.rand(2, data.draw(st.integers(1, rows)), sum(levels))
    torch.testing.assert_close(over_rows(keys, mask, levels), plain_over_rows(keys, mask, levels))


@torch.no_grad()
def test_weights_over_rows_times_the_rows_values_are_what_the_layer_answers():
    levels, num_asking = (3, 2, 2), 9
    layer, h, mask = make_layer(levels, 1, heads=1), torch.randn(2, 30, 8), torch.rand(2, 30) > 0.3
    with recording() as weights:
        answer = layer(h, mask, num_asking)
    rows = over_rows(weights[0].mean(dim=2), mask, levels)
    values = layer.key_value(h)[..., 8:]
    asking = torch.arange(30 - num_asking, 30)
    looked = asking[:, None] - torch.arange(reach_of(levels))
    context = torch.einsum("bqr,bqre->bqe", rows, values[:, looked.clamp(min=0)])
    torch.testing.assert_close(layer.output(context), answer, **CLOSE)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_maps_sum_to_one_and_are_those_of_the_forecast(missing):
    network, inputs = make_network(), make_input(missing=missing)
    maps = attention_maps(network, inputs)
    with torch.no_grad():
        output = network(inputs)
    torch.testing.assert_close(maps.output.log_variance, output.log_variance, **CLOSE)
    torch.testing.assert_close(maps.across.sum(-1), output.cross_attention, **CLOSE)
    for layers, mask in zip(maps.encoders, inputs.masks, strict=True):
        for layer in layers:
            torch.testing.assert_close(layer.rows.sum(-1), layer.keys.sum(-1))
            there = layer.keys.sum(-1) > 0
            torch.testing.assert_close(layer.keys.sum(-1)[there], torch.ones(int(there.sum())))
        newest = layers[-1].rows[:, -1]
        behind = mask.flip(1)[:, : newest.shape[1]]
        assert (newest[:, : behind.shape[1]][~behind] == 0).all()


def test_one_origin_alone_has_the_maps_that_it_has_in_a_stretch():
    network, inputs, n = make_network(), make_input(), 59
    whole, alone = attention_maps(network, inputs), attention_maps(network, window_of(inputs, n))
    torch.testing.assert_close(alone.across[:, 0], whole.across[:, n], **CLOSE)
    for one, many in zip(alone.encoders, whole.encoders, strict=True):
        for a, b in zip(one, many, strict=True):
            torch.testing.assert_close(a.rows[:, -1], b.rows[:, -1], **CLOSE)
    reaches = [layers[0].rows.shape[-1] for layers in alone.encoders]
    assert all(reach <= rows for reach, rows in zip(reaches, LOOKBACKS, strict=True))


@torch.no_grad()
def test_nothing_is_kept_of_a_pass_that_nobody_records():
    network, inputs = make_network(), make_input()
    with recording() as weights:
        pass
    network(inputs)
    assert weights == []
