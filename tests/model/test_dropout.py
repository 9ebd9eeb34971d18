import torch

from polyscale.model.dropout import Dropout


def test_it_drops_the_share_it_is_told_at_random_places_and_keeps_the_mean():
    torch.manual_seed(0)
    layer, x = Dropout(0.3), torch.ones(400, 500)
    first, second = layer(x), layer(x)
    for out in (first, second):
        assert abs((out == 0).float().mean().item() - 0.3) < 0.005
        torch.testing.assert_close(out[out != 0], torch.full_like(out[out != 0], 1 / 0.7))
        for dim in (0, 1):  # no row and no column is special
            assert ((out == 0).float().mean(dim=dim) - 0.3).abs().max() < 0.13
        neighbours = ((out == 0)[:, 1:] & (out == 0)[:, :-1]).float().mean().item()
        assert abs(neighbours - 0.09) < 0.005
    both = ((first == 0) & (second == 0)).float().mean().item()
    assert abs(both - 0.09) < 0.005


def test_the_seed_of_torch_decides_and_the_gradient_has_the_same_mask():
    layer, x = Dropout(0.5), torch.randn(50, 7, requires_grad=True)
    torch.manual_seed(3)
    out = layer(x)
    torch.manual_seed(3)
    assert layer(x).equal(out)
    out.sum().backward()
    torch.testing.assert_close(x.grad, torch.where(out == 0, 0.0, 2.0))


def test_in_eval_and_at_zero_it_is_nothing_and_other_types_are_torchs():
    x = torch.randn(20, 3)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
    assert Dropout(0.5)(x.double()).dtype is torch.float64
