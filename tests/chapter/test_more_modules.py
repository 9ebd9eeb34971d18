"""The parts of the network read the newest row, and nothing of what is missing; a result is the account's."""

import dataclasses

import numpy as np
import torch

from polyscale.chapter import (
    BacktestResult,
    CrossScaleFusion,
    HierarchicalAggregation,
    MultiResolutionAttention,
    backtest_multi_scale_strategy,
)
from polyscale.chapter.modules import present
from tests.chapter.candles import klines
from tests.chapter.test_modules import B, D, randomised


def test_a_row_is_there_only_if_all_of_it_is():
    x = torch.zeros(1, 4, 3)
    x[0, 1, 2], x[0, 2] = torch.inf, torch.nan
    assert present(x).tolist() == [[True, False, False, True]]


def test_the_attention_reads_the_newest_states_and_none_before_its_span():
    attention = randomised(MultiResolutionAttention(D, 4, 2, key_span=4))
    states = [torch.randn(B, 30, D), torch.randn(B, 12, D)]
    fused, matrix = attention(states, return_attention=True)
    older, newest = ([each.clone() for each in states] for _ in range(2))
    for each, other in zip(older, newest, strict=True):
        each[:, :-4] += 1
        other[:, -1] += 1
    torch.testing.assert_close(attention(older)[0], fused)
    assert (attention(newest)[0] - fused).abs().min() > 0
    torch.testing.assert_close(attention(older, return_attention=True)[1], matrix)


def test_the_mean_of_scales_leaves_a_missing_one_out():
    attention = randomised(MultiResolutionAttention(D, 4, 2))
    states = [torch.randn(B, 9, D), torch.randn(B, 9, D)]
    states[1][:, -1] = torch.nan
    seen = []
    attention.average.register_forward_hook(lambda module, given, out: seen.append((given[0], out[0])))
    fused, _ = attention(states)
    [(mixed, _)] = seen
    torch.testing.assert_close(fused, mixed[:, 0, 0])  # the other scale alone


def test_an_aggregation_counts_no_missing_row():
    aggregation = randomised(HierarchicalAggregation(D, n_levels=3, window=4))
    x = torch.randn(B, 28, D)
    gone, zero = x.clone(), x.clone()
    gone[:, :9], zero[:, :9] = torch.nan, 0.0
    torch.testing.assert_close(aggregation(gone), aggregation(x[:, 9:]))
    assert (aggregation(gone) - aggregation(zero)).abs().max() > 1e-3


def test_a_fusion_gives_a_missing_scale_no_weight():
    fusion = randomised(CrossScaleFusion(D, 3))
    states = [torch.randn(B, D) for _ in range(3)]
    states[1][0, 0] = torch.nan
    fused, _, gates = fusion(states, return_weights=True)
    assert gates[0, 1] == 0
    assert (gates[1:, 1] > 0).all()
    torch.testing.assert_close(gates.sum(-1), torch.ones(B))
    torch.testing.assert_close(fused[0], gates[0, 0] * states[0][0] + gates[0, 2] * states[2][0])


def test_a_result_has_the_accounts_own_numbers():
    candles = klines(8)
    up = 0.5 + 0.3 * np.sign(np.sin(np.arange(len(candles)) / 40))
    said = {"direction": up, **dict.fromkeys(("short_term", "medium_term", "long_term"), up - 0.5)}
    found = backtest_multi_scale_strategy(said, candles)
    names = [field.name for field in dataclasses.fields(BacktestResult)][:7]
    numbers = {name: getattr(found, name) for name in names}
    assert numbers == {name: getattr(found.details, name) for name in names}
    assert len(set(numbers.values())) == 7
    assert numbers["max_drawdown"] > 0
    np.testing.assert_array_equal(found.equity_curve.to_numpy(), found.details.equity)
