"""Every scale has an encoder of its own making, and every head of the attention looks where it likes."""

import torch

from polyscale.config.presets import preset
from polyscale.config.run_config import read_config
from polyscale.model.cross_scale import MultiResolutionAttention
from polyscale.model.network import MultiScaleAttention
from polyscale.model.recorder import recording
from polyscale.pipeline.learn import spec_of


def test_encoders_of_the_chapters_table_differ_in_layers_heads_and_dropout_and_all_have_a_causal_stem():
    network = MultiScaleAttention(spec_of(read_config(preset("full"))))
    found = [
        (len(encoder.layers), encoder.layers[0].attention.heads, encoder.dropout.p)
        for encoder in network.encoders
    ]
    assert found == [(2, 4, 0.2), (3, 8, 0.2), (4, 8, 0.1), (4, 8, 0.1)]
    assert [encoder.stem.kernel for encoder in network.encoders] == [4, 4, 4, 4]


@torch.no_grad()
def test_heads_look_at_different_states_and_the_matrix_depends_on_what_is_there():
    torch.manual_seed(3)
    attention = MultiResolutionAttention(8, 2, (5, 4))
    states = [torch.randn(1, 30, 8), torch.randn(1, 30, 8)]
    queries, keys_values = zip(*(attention.project(j, h) for j, h in enumerate(states)), strict=True)
    rows = torch.arange(10, 30)[None, :, None].expand(1, 20, 2)
    there = torch.ones(1, 20, 2, dtype=torch.bool)
    masks = [torch.ones(1, 30, dtype=torch.bool)] * 2
    with recording() as record:
        _, matrix, _ = attention(states, queries, keys_values, masks, rows, there)
    (weights,) = record  # [B, N, H, S, S, K]
    assert ((weights[:, :, 0] - weights[:, :, 1]).abs().amax(dim=(-1, -2)) > 0.01).all()
    torch.testing.assert_close(matrix, weights.sum(-1).mean(dim=2))
    assert (matrix.std(dim=1) > 0.01).all()  # the mean of a softmax over L rows is 1 / L at every origin
