import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyscale.market.errors import ConfigError
from polyscale.model.cross_scale import CrossScaleFusion, MultiResolutionAttention
from polyscale.model.encoder import ConvolutionStem
from polyscale.model.hierarchy import HierarchicalAggregation, attend
from polyscale.model.kernels.ops import explicit
from polyscale.model.reach import Reach, check_reach, plan_levels, plan_reach, reach_of
from tests.oracles.plain_network import plain_cross_attention, plain_fusion, plain_hierarchy, plain_stem

CLOSE = {"atol": 1e-5, "rtol": 1e-4}


@given(st.integers(1, 12_000), st.integers(1, 5), st.integers(1, 8), st.integers(1, 32), st.integers(1, 16))
def test_the_reach_spends_exactly_the_lookback(lookback, layers, kernel, key_span, window):
    reach = plan_reach(lookback, layers, kernel, key_span, window)
    assert reach.lookback == lookback
    assert len(reach.layers) == layers
    assert check_reach(reach, lookback) is reach


@given(st.integers(1, 100_000), st.integers(1, 16))
def test_keys_grow_with_the_logarithm_of_the_rows(rows, window):
    levels = plan_levels(rows, window)
    assert reach_of(levels) == rows
    assert max(levels) <= window + 1
    assert sum(levels) <= (window + 1) * (rows.bit_length() + 1)


def test_a_plan_that_breaks_the_budget_is_refused():
    with pytest.raises(ConfigError, match="layer 0 must have at least one slot on every level"):
        check_reach(Reach(2, ((2, 0, 1),), 1), 7)
    with pytest.raises(ConfigError, match="reach must equal the lookback 9, got 3"):
        check_reach(Reach(2, ((2,),), 1), 9)


def make_layer(levels, seed, heads=2):
    torch.manual_seed(seed)
    layer = HierarchicalAggregation(8, heads, levels)
    torch.nn.init.normal_(layer.position.bias)
    return layer


levels_of_a_layer = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)


@torch.no_grad()
@settings(deadline=None, max_examples=30)
@given(
    rows=st.integers(1, 40),
    levels=levels_of_a_layer,
    heads=st.sampled_from([1, 2, 8]),
    seed=st.integers(0, 99),
)
def test_hierarchical_attention_equals_its_plain_twin(rows, levels, heads, seed):
    layer = make_layer(levels, seed, heads)
    h, mask = torch.randn(2, rows, 8), torch.rand(2, rows) > 0.3
    plain = plain_hierarchy(layer, h, mask)
    for asking in {1, (rows + 1) // 2, rows}:
        torch.testing.assert_close(layer(h, mask, asking), plain[:, rows - asking :], **CLOSE)
        with explicit():
            torch.testing.assert_close(layer(h, mask, asking), plain[:, rows - asking :], **CLOSE)


@pytest.mark.parametrize("asking", [1, 600, 1_300])
def test_long_stretches_and_their_gradients_are_those_of_the_formula(asking):
    torch.manual_seed(4)
    levels, rows = (5, 4, 3, 4, 6), 1_300
    tensors = [torch.randn(2, asking, 12), torch.randn(2, rows, 24), torch.randn(3, sum(levels))]
    mask = torch.rand(2, rows) > 0.2
    given_gradient = torch.randn(2, asking, 12)
    results = []
    for switch in (False, True):
        query, key_value, bias = (x.clone().requires_grad_() for x in tensors)
        if switch:
            with explicit():
                context = attend(query, key_value, mask, bias, levels)
        else:
            context = attend(query, key_value, mask, bias, levels)
        context.backward(given_gradient)
        results.append([context.detach(), query.grad, key_value.grad, bias.grad])
    for ours, formula in zip(*results, strict=True):
        torch.testing.assert_close(ours, formula, atol=2e-4, rtol=1e-4)


@torch.no_grad()
@settings(deadline=None, max_examples=20)
@given(rows=st.integers(1, 12), kernel=st.integers(1, 5), seed=st.integers(0, 99))
def test_the_stem_equals_its_plain_twin(rows, kernel, seed):
    torch.manual_seed(seed)
    stem = ConvolutionStem(3, 8, kernel)
    x, mask = torch.randn(2, rows, 3), torch.rand(2, rows) > 0.3
    torch.testing.assert_close(stem(x, mask), plain_stem(stem, x, mask), **CLOSE)


def make_across(num_origins, ratios, seed, spans, odd):
    """Random states, masks and alignment: as on a clock, or (odd) rows in no order, some of them absent."""
    generator = torch.Generator().manual_seed(seed)
    attention = MultiResolutionAttention(8, 2, spans)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.5, generator=generator)
    rows = torch.stack([(torch.arange(num_origins) + r // 2) // r + 2 for r in ratios], dim=-1)
    if odd:
        rows = torch.randint(-1, 6, rows.shape, generator=generator)
    sizes = [max(int(rows[:, j].max()), 0) + 1 for j in range(len(ratios))]
    states = [torch.randn(2, size, 8, generator=generator) for size in sizes]
    masks = [torch.rand(2, size, generator=generator) > 0.3 for size in sizes]
    rows = rows.expand(2, -1, -1)
    there = [torch.gather(m, 1, rows[..., j].clamp(min=0)) for j, m in enumerate(masks)]
    return attention, states, masks, rows, torch.stack(there, -1) & (rows >= 0)


def ask(attention, states, masks, rows, present):
    queries, keys_values = zip(*(attention.project(j, h) for j, h in enumerate(states)), strict=True)
    return attention(states, queries, keys_values, masks, rows, present)


@torch.no_grad()
@settings(deadline=None, max_examples=12)
@given(
    ratios=st.sampled_from([(1,), (1, 5), (1, 2, 3, 100), (1, 1, 4, 7, 30)]),
    odd=st.booleans(),
    seed=st.integers(0, 99),
    spans=st.lists(st.integers(1, 9), min_size=5, max_size=5),
)
def test_cross_attention_equals_its_plain_twin(ratios, odd, seed, spans):
    made = make_across(40, ratios, seed, spans[: len(ratios)], odd)
    attention, states, masks, rows, present = made
    mixed, matrix, share = ask(attention, states, masks, rows, present)
    with explicit():
        for ours, formula in zip(
            (mixed, matrix, share), ask(attention, states, masks, rows, present), strict=True
        ):
            torch.testing.assert_close(ours, formula, **CLOSE)
    for n in (0, 17, 39):
        if not present[1, n].any():
            assert (matrix[1, n] == 0).all()
            continue
        plain = plain_cross_attention(
            attention, [h[1] for h in states], [m[1] for m in masks], rows[1, n], present[1, n]
        )
        torch.testing.assert_close(mixed[1, n], plain[0], **CLOSE)
        torch.testing.assert_close(matrix[1, n], plain[1], **CLOSE)
        torch.testing.assert_close(share[1, n], plain[2], **CLOSE)


def clock(num_origins, period, *, stalls=0, starts=0, jumps=False):
    """A known row that moves on every ``period`` origins, but stalls at an end, or jumps."""
    rows = 3 + (torch.arange(num_origins) - starts).clamp(min=0) // period
    if stalls:
        rows[-stalls:] = rows[-stalls - 1]
    if jumps:
        rows[num_origins // 2 :] += 1
    return rows


@torch.no_grad()
@pytest.mark.parametrize(
    "change", [{"stalls": 9}, {"starts": 1}, {"starts": 9}, {"jumps": True}, {"stalls": 4, "starts": 3}]
)
@pytest.mark.parametrize("period", [1, 4, 5])
def test_an_alignment_that_only_looks_like_a_clock_is_no_clock(change, period):
    attention, *_ = make_across(40, (1, 1), 3, (8, 5), False)
    rows = torch.stack([clock(60, 1), clock(60, period, **change)], dim=-1)
    rows = torch.stack([rows, rows])
    sizes = [int(rows[..., j].max()) + 1 for j in range(2)]
    states, masks = [torch.randn(2, n, 8) for n in sizes], [torch.rand(2, n) > 0.2 for n in sizes]
    present = torch.ones(2, 60, 2, dtype=torch.bool)
    found = ask(attention, states, masks, rows, present)
    with explicit():
        formula = ask(attention, states, masks, rows, present)
    for ours, theirs in zip(found, formula, strict=True):
        torch.testing.assert_close(ours, theirs, **CLOSE)


@torch.no_grad()
def test_scores_far_below_zero_still_make_weights():
    torch.manual_seed(1)
    query, key_value = torch.randn(1, 5, 8), torch.randn(1, 9, 16)
    bias = torch.full((2, 5), -300.0)
    with explicit():
        formula = attend(query, key_value, torch.ones(1, 9, dtype=torch.bool), bias, (3, 2))
    found = attend(query, key_value, torch.ones(1, 9, dtype=torch.bool), bias, (3, 2))
    torch.testing.assert_close(found, formula, **CLOSE)


@pytest.mark.parametrize("odd", [False, True])
def test_gradients_of_cross_attention_are_those_of_the_formula(odd):
    results = []
    for switch in (False, True):
        attention, states, masks, rows, present = make_across(
            600, (1, 5, 60, 200, 3), 7, (8, 5, 8, 4, 1), odd
        )
        states = [h.requires_grad_() for h in states]
        if switch:
            with explicit():
                mixed, matrix, _ = ask(attention, states, masks, rows, present)
        else:
            mixed, matrix, _ = ask(attention, states, masks, rows, present)
        weight = torch.linspace(-1, 1, matrix.shape[-1])
        ((mixed.sin()).sum() + (matrix * weight).sum()).backward()
        results.append([h.grad for h in states] + [p.grad for p in attention.parameters()])
    for ours, formula in zip(*results, strict=True):
        torch.testing.assert_close(ours, formula, atol=2e-4, rtol=1e-3)


@torch.no_grad()
def test_the_gate_equals_its_plain_twin():
    torch.manual_seed(2)
    fusion = CrossScaleFusion(8, 3)
    torch.nn.init.normal_(fusion.static)
    mixed, present = torch.randn(1, 2, 3, 8), torch.tensor([[[True, True, True], [False, True, True]]])
    fused, gate = fusion(mixed, present)
    for n in range(2):
        plain_fused, plain_gate = plain_fusion(fusion, mixed[0, n], present[0, n])
        torch.testing.assert_close(fused[0, n], plain_fused)
        torch.testing.assert_close(gate[0, n], plain_gate)
