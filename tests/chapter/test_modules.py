"""The parts of the network behind the chapter's signatures: the chapter's faults are not theirs."""

import pytest
import torch

from polyscale.chapter import (
    CrossScaleFusion,
    HierarchicalAggregation,
    LearnablePositionalEncoding,
    MultiResolutionAttention,
    ScaleEncoder,
)
from polyscale.market.errors import ConfigError

B, D = 3, 16


def randomised(module, seed=0):
    """Weights that are all drawn, so that nothing is zero by its beginning."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.3)
    return module.eval()


def test_positions_are_counted_from_the_newest_row():
    encoding = randomised(LearnablePositionalEncoding(D))
    long, short = torch.zeros(1, 40, D), torch.zeros(1, 10, D)
    torch.testing.assert_close(encoding(long)[:, -10:], encoding(short))
    assert not torch.equal(encoding(short)[0, 0], encoding(short)[0, 1])
    with pytest.raises(ConfigError, match="at most max_length \\(5\\), got 6"):
        LearnablePositionalEncoding(D, 5)(torch.zeros(1, 6, D))


@pytest.mark.parametrize(
    ("name", "rows"), [("1min", 1_440), ("5m", 288), ("1H", 168), ("1D", 252), ("4H", 96)]
)
def test_an_encoder_has_the_chapters_lookback(name, rows):
    assert ScaleEncoder(name, 3, D, 4, 2).lookback == rows


def test_an_encoder_sees_its_lookback_and_nothing_later():
    encoder = randomised(ScaleEncoder("1H", 3, D, 4, 2, lookback=20))
    x = torch.randn(B, 30, 3)
    states = encoder(x)
    assert states.shape == (B, 30, D)
    later, older, oldest = x.clone(), x.clone(), x.clone()
    later[:, 25:] += 1
    older[:, :10] += 1
    oldest[:, 10] += 1
    torch.testing.assert_close(encoder(later)[:, :25], states[:, :25])
    torch.testing.assert_close(encoder(older)[:, -1], states[:, -1])
    assert (encoder(oldest)[:, -1] != states[:, -1]).any()


def test_a_missing_row_weighs_nothing():
    encoder = randomised(ScaleEncoder("1H", 3, D, 4, 2, lookback=20))
    x = torch.randn(B, 20, 3)
    x[:, :8] = torch.nan
    states = encoder(x)
    assert states.isfinite().all()
    torch.testing.assert_close(states[:, -1], encoder(x[:, 8:])[:, -1], rtol=1e-5, atol=1e-6)


def test_the_attention_between_scales_depends_on_what_is_seen():
    attention = randomised(MultiResolutionAttention(D, 4, 3))
    states = [torch.randn(B, rows, D) for rows in (30, 20, 7)]
    fused, matrix = attention(states, return_attention=True)
    assert fused.shape == (B, D)
    assert matrix.shape == (B, 3, 3)
    torch.testing.assert_close(matrix.sum(-1), torch.ones(B, 3))
    assert (matrix - matrix[0]).abs().max() > 1e-3  # the chapter's is 1 / L for any input
    assert attention(states)[1] is None


def test_heads_are_more_than_a_divisor():
    torch.manual_seed(0)
    states = [torch.randn(B, 9, D) for _ in range(2)]
    one, four = (MultiResolutionAttention(D, heads, 2) for heads in (1, 4))
    four.load_state_dict(
        {
            **one.state_dict(),
            **{k: v for k, v in four.state_dict().items() if "recency" in k or "affinity" in k},
        }
    )
    four.attention.query[0].weight.data *= 0.5  # the chapter's divisor: sqrt(16 / 4) against sqrt(16)
    four.attention.query[1].weight.data *= 0.5
    assert (one(states)[0] - four(states)[0]).abs().max() > 1e-3


def test_a_scale_without_its_newest_row_takes_no_part():
    attention = randomised(MultiResolutionAttention(D, 4, 2))
    states = [torch.randn(B, 9, D), torch.randn(B, 9, D)]
    states[1][:, -1] = torch.nan
    fused, matrix = attention(states, return_attention=True)
    assert fused.isfinite().all()
    torch.testing.assert_close(matrix[:, 0], torch.tensor([1.0, 0.0]).expand(B, 2))


def test_a_fusion_is_a_weighted_sum_whose_weights_are_what_it_says():
    fusion = randomised(CrossScaleFusion(D, 3))
    states = [torch.randn(B, D) for _ in range(3)]
    fused, weights, gates = fusion(states, return_weights=True)
    torch.testing.assert_close(weights.sum(), torch.tensor(1.0))
    torch.testing.assert_close(gates.sum(-1), torch.ones(B))
    torch.testing.assert_close(fused, sum(gates[:, i, None] * states[i] for i in range(3)))
    torch.testing.assert_close(fusion(states), fused)


@pytest.mark.parametrize("rows", [1, 7, 63, 126, 252, 253])
def test_an_aggregation_takes_any_length(rows):
    aggregation = randomised(HierarchicalAggregation(D))
    assert aggregation(torch.randn(B, rows, D)).shape == (B, D)


def test_an_aggregation_sees_window_times_levels_of_rows():
    aggregation = randomised(HierarchicalAggregation(D, n_levels=3, window=4))
    assert aggregation.lookback == 4 * 7
    x = torch.randn(B, 40, D)
    before, first = x.clone(), x.clone()
    before[:, : 40 - 28] += 1
    first[:, 40 - 28] += 1
    torch.testing.assert_close(aggregation(before), aggregation(x))
    assert (aggregation(first) != aggregation(x)).any()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ScaleEncoder("1H", 3, 10, 4, 2), "n_heads must divide d_model \\(10\\), got 4"),
        (lambda: MultiResolutionAttention(10, 4, 2), "must divide"),
        (lambda: HierarchicalAggregation(D, pool_size=3), "pool_size must be 2"),
        (lambda: ScaleEncoder("hourly", 3, D, 4, 2), "timeframe must be"),
        (lambda: CrossScaleFusion(D, 3)([torch.zeros(1, D)]), "one tensor per scale \\(3\\), got 1"),
        (lambda: MultiResolutionAttention(D, 4, 3)([torch.zeros(1, 2, D)]), "one tensor per scale \\(3\\)"),
    ],
)
def test_sizes_that_cannot_be_are_refused(make, says):
    with pytest.raises(ConfigError, match=says):
        make()
