import pytest
import torch

from polyscale.model.across_symbols import AttentionAcrossSymbols
from polyscale.model.network import NONE
from tests.model.test_network import assert_same, joined, make_input, make_network, pieces_of
from tests.oracles.plain_network import plain_across_symbols

SYMBOLS, GROUPS, ORIGINS, WIDTH = 3, 2, 7, 8


@pytest.fixture
def attention():
    torch.manual_seed(1)
    made = AttentionAcrossSymbols(WIDTH, heads=2)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return made


def make_states(missing=0.3):
    generator = torch.Generator().manual_seed(2)
    states = torch.randn(GROUPS * SYMBOLS, ORIGINS, WIDTH, generator=generator)
    return states, torch.rand(GROUPS * SYMBOLS, ORIGINS, generator=generator) > missing


@torch.no_grad()
def test_it_equals_the_plain_twin(attention):
    states, present = make_states()
    found = attention(states, present, SYMBOLS)
    for b in range(GROUPS * SYMBOLS):
        group = slice(b - b % SYMBOLS, b - b % SYMBOLS + SYMBOLS)
        for n in range(ORIGINS):
            plain = plain_across_symbols(attention, states[group, n], present[group, n], b % SYMBOLS)
            torch.testing.assert_close(found[b, n], plain, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_an_order_of_the_symbols_means_nothing(attention):
    states, present = make_states()
    order = [2, 0, 1, 4, 5, 3]
    torch.testing.assert_close(
        attention(states[order], present[order], SYMBOLS), attention(states, present, SYMBOLS)[order]
    )


def test_only_symbols_that_are_there_are_heard_in_their_own_group_at_their_own_origin(attention):
    states, present = make_states(missing=0.0)
    present[2] = False
    states.requires_grad_()
    attention(states, present, SYMBOLS)[0, 4].pow(2).sum().backward()
    heard = states.grad.abs().sum(dim=-1) > 0
    expected = torch.zeros_like(heard)
    expected[[0, 1], 4] = True
    assert heard.equal(expected)


@torch.no_grad()
def test_a_symbol_whose_others_are_absent_is_as_one_alone(attention):
    states, present = make_states(missing=0.0)
    present[[1, 2]] = False
    alone = attention(states[:1], present[:1], 1)
    torch.testing.assert_close(attention(states, present, SYMBOLS)[:1], alone)


@torch.no_grad()
def test_a_group_in_which_no_symbol_is_there_is_finite(attention):
    states, present = make_states()
    assert attention(states, torch.zeros_like(present), SYMBOLS).isfinite().all()


def test_without_the_setting_the_network_has_no_such_parameters():
    plain, across = make_network(), make_network(across_symbols=True)
    more = across.state_dict().keys() - plain.state_dict().keys()
    assert {name.split(".")[0] for name in more} == {"across_symbols"}


def without_symbol(inputs, symbol, n):
    """The same, but the symbol has no bar at origin n."""
    aligned = inputs.aligned.clone()
    aligned[symbol, n] = NONE
    return inputs._replace(aligned=aligned)


@torch.no_grad()
def test_a_symbol_may_be_missing_at_an_origin_in_a_stream_as_in_a_stretch():
    network = make_network(across_symbols=True)
    inputs = without_symbol(make_input()._replace(symbols=2), 1, 30)
    state = network.empty_state(2)
    assert_same(joined([network(piece, state) for piece in pieces_of(inputs, range(1, 60))]), network(inputs))


@torch.no_grad()
def test_the_network_hears_the_other_symbol_at_the_same_origin_alone():
    network = make_network(across_symbols=True)
    inputs = make_input(missing=0.0)._replace(symbols=2)
    whole, without = network(inputs), network(without_symbol(inputs, 1, 30))
    moved = (whole.log_variance[0] != without.log_variance[0]).any(dim=-1)
    assert moved.nonzero().flatten().tolist() == [30]
