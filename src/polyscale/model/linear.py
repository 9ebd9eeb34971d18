"""A linear layer with the CPU's fastest float32 product.

On AMD's processors torch's own product (MKL) keeps to 256-bit instructions; oneDNN, which torch carries as
well, does the same sum with 512 bits in less than half the time. It has no public door for float32 of this
shape, so the operation that torch's compiler emits is called, and torch's own product wherever that is
missing, or no faster. Rows that lie apart in memory are put together first: for them oneDNN falls back to
plain loops.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_FEWEST_ROWS = 128
_CHUNK = 1_024  # rows that one product of the weights' gradient sums over


class Linear(nn.Linear):
    """`torch.nn.Linear`, with the same parameters and, but for rounding, the same numbers."""

    def forward(self, input: Tensor) -> Tensor:
        """Multiply."""
        if torch.compiler.is_compiling():  # the number of rows may be free
            return F.linear(input, self.weight, self.bias)
        rows = input.numel() // self.in_features
        if rows < _FEWEST_ROWS or not _wide(input):
            return F.linear(input, self.weight, self.bias)
        result = _WideProduct.apply(
            input.reshape(rows, self.in_features).contiguous(), self.weight, self.bias
        )
        return result.view(*input.shape[:-1], self.out_features)


def _wide(tensor: Tensor) -> bool:
    return (
        tensor.device.type == "cpu"
        and tensor.dtype is torch.float32
        and not torch.is_autocast_enabled("cpu")
        and wide_product_helps()
    )


@cache
def wide_product_helps() -> bool:
    """Whether this is an AMD processor with 512-bit instructions, and torch has oneDNN's product."""
    info = Path("/proc/cpuinfo")
    return (
        torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        and info.exists()
        and "AuthenticAMD" in info.read_text()
    )


class _WideProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return _product(rows, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        rows, weight = ctx.saved_tensors
        gradient = gradient.contiguous()
        d_rows = _product(gradient, weight.t().contiguous()) if ctx.needs_input_grad[0] else None
        d_weight = None
        if ctx.needs_input_grad[1]:
            parts = zip(gradient.split(_CHUNK), rows.split(_CHUNK), strict=True)
            d_weight = sum(_product(given.t(), part.t()) for given, part in parts)
        return d_rows, d_weight, gradient.sum(dim=0) if ctx.needs_input_grad[2] else None


def _product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
