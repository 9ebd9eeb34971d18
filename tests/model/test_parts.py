import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyscale.market.errors import ConfigError
from polyscale.model.cross_scale import MultiResolutionAttention
from polyscale.model.reach import LayerReach, Reach, check_reach, plan_reach
from polyscale.model.windowed import WindowedAttention
from tests.oracles.plain_network import plain_cross_attention, plain_windowed_attention


@given(st.integers(1, 6_000), st.integers(1, 5), st.integers(1, 8), st.integers(1, 32))
def test_the_reach_spends_exactly_the_lookback(lookback, layers, kernel, key_span):
    reach = plan_reach(lookback, layers, kernel, key_span)
    assert reach.lookback == lookback
    assert len(reach.layers) == layers
    assert check_reach(reach, lookback) is reach


def test_windows_stay_small_where_layers_are_many():
    assert max(layer.window for layer in plan_reach(1_440, 4, 4, 16).layers) <= 8


def test_a_plan_that_breaks_the_budget_is_refused():
    with pytest.raises(ConfigError, match="dilation of layer 0 must be <= the 2 rows below it, got 3"):
        check_reach(Reach(2, (LayerReach(2, 3),), 1), 5)
    with pytest.raises(ConfigError, match="reach must equal the lookback 9, got 3"):
        check_reach(Reach(2, (LayerReach(2, 1),), 1), 9)


@torch.no_grad()
@settings(deadline=None, max_examples=25)
@given(rows=st.integers(1, 40), window=st.integers(1, 6), dilation=st.integers(1, 5), seed=st.integers(0, 99))
def test_windowed_attention_equals_its_plain_twin(rows, window, dilation, seed):
    torch.manual_seed(seed)
    layer = WindowedAttention(8, 2, LayerReach(window, dilation))
    torch.nn.init.normal_(layer.position.bias)
    h, mask = torch.randn(2, rows, 8), torch.rand(2, rows) > 0.3
    torch.testing.assert_close(layer(h, mask), plain_windowed_attention(layer, h, mask), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_cross_attention_equals_its_plain_twin():
    torch.manual_seed(3)
    attention = MultiResolutionAttention(8, 2, key_spans=(4, 3))
    for parameter in (*attention.recency, attention.affinity):
        torch.nn.init.normal_(parameter)
    states = [torch.randn(2, 9, 8), torch.randn(2, 6, 8)]
    masks = [torch.rand(2, 9) > 0.3, torch.rand(2, 6) > 0.3]
    index = torch.tensor([[[2, 0], [8, 5]], [[5, 3], [7, 4]]])
    present = torch.tensor([[[True, True], [True, False]], [[True, True], [False, True]]])
    mixed, matrix = attention(states, masks, index, present)
    for b in range(2):
        for n in range(2):
            sample = [h[b] for h in states], [m[b] for m in masks], index[b, n], present[b, n]
            plain_mixed, plain_matrix = plain_cross_attention(attention, *sample)
            torch.testing.assert_close(matrix[b, n], plain_matrix, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(mixed[b, n], plain_mixed, atol=1e-5, rtol=1e-4)
