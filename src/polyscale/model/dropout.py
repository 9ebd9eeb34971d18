"""Dropout whose mask is a hash of place and seed: computed again in the gradient, kept nowhere.

PyTorch draws a mask on the CPU number by number, which was a twelfth of a training step. The seed is one draw
of torch's own generator, so that `torch.manual_seed` decides as ever.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from polyscale.model.kernels.ops import compiled, drop


class Dropout(nn.Dropout):
    """`torch.nn.Dropout`, with masks of its own on the CPU."""

    def forward(self, input: Tensor) -> Tensor:
        """Zero a share ``p`` of the numbers in training, and scale the others up."""
        if not self.training or self.p == 0:
            return input
        if input.dtype is not torch.float32 or not compiled(input):
            return nn.functional.dropout(input, self.p)
        return _Dropout.apply(input, self.p, int(torch.randint(1 << 31, ()).item()))


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, numbers: Tensor, share: float, seed: int) -> Tensor:
        ctx.share, ctx.seed = share, seed
        return drop(numbers, share, seed)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return drop(gradient, ctx.share, ctx.seed), None, None
