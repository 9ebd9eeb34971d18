import pytest
import torch

from polyscale.model import linear
from polyscale.model.linear import Linear


@pytest.fixture
def wide(monkeypatch):
    """The wide product, whatever the processor; it is slow on some, and right on all."""
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this torch has no oneDNN product")
    monkeypatch.setattr(linear, "wide_product_helps", lambda: True)


def test_it_is_torchs_layer_but_for_rounding(wide):
    torch.manual_seed(0)
    ours, theirs = Linear(12, 7), torch.nn.Linear(12, 7)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 1_500, 4, 12)[:, :, 1]  # rows that lie apart in memory
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    ours(a).square().sum().backward()
    theirs(b).square().sum().backward()
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(a.grad, b.grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, atol=1e-2, rtol=1e-4)
    torch.testing.assert_close(ours.bias.grad, theirs.bias.grad, atol=1e-2, rtol=1e-4)


def test_without_a_bias_and_without_rows(wide):
    layer = Linear(5, 3, bias=False)
    x = torch.randn(200, 5)
    torch.testing.assert_close(layer(x), x @ layer.weight.t(), atol=1e-5, rtol=1e-5)
    assert layer(torch.randn(2, 0, 5)).shape == (2, 0, 3)


def test_autocast_and_other_types_are_left_to_torch(wide):
    layer, x = Linear(8, 8), torch.randn(300, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype is torch.bfloat16
    assert layer.double()(x.double()).dtype is torch.float64
    assert layer.to("meta")(x.to("meta")).device.type == "meta"
