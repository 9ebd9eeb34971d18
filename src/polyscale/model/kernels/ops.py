"""The compiled kernels as torch functions with gradients.

They serve float32 (and, cast, bfloat16) tensors on the CPU; `compiled` says whether, and is the switch:
inside ``explicit()`` and while a graph is exported, the formulas beside them are used instead. Jobs (sample,
head) are shared among as many threads as torch is given.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from polyscale.model.kernels import across, dropping, hierarchy

_BLOCK = 256  # origins at a time: what attention across scales touches stays in the second cache
_EXPLICIT: ContextVar[bool] = ContextVar("explicit", default=False)


@contextmanager
def explicit() -> Iterator[None]:
    """Use torch's own operations: to export, to look into, to compare."""
    token = _EXPLICIT.set(True)
    try:
        yield
    finally:
        _EXPLICIT.reset(token)


def compiled(tensor: Tensor) -> bool:
    """Whether a compiled kernel takes this tensor."""
    fits = tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.bfloat16)
    return fits and not _EXPLICIT.get() and not torch.compiler.is_exporting()


@torch.compiler.disable
def attend_hierarchy(
    query: Tensor, key_value: Tensor, mask: Tensor, bias: Tensor, levels: Sequence[int]
) -> Tensor:
    """`polyscale.model.hierarchy.attend`, compiled."""
    return _Hierarchy.apply(query, key_value, mask, bias, levels)


@torch.compiler.disable
def attend_newest(
    query: Tensor, values: Tensor, mask: Tensor, at: int, bias: Tensor, levels: Sequence[int]
) -> Tensor:
    """The same for one asking row whose past lies in a ring: [B, 1, D]; ``at`` is the oldest row's place."""
    context = np.empty(query.shape, np.float32)
    slots = np.array(levels)

    def run(first: int, last: int) -> None:
        hierarchy.newest(
            _array(query), _array(values), _flags(mask), at, _array(bias), slots, first, last, context
        )

    _share(run, len(context))
    return torch.from_numpy(context).to(query.dtype)


@torch.compiler.disable
def attend_across(
    queries: Sequence[Tensor],
    keys_values: Sequence[Tensor],
    masks: Sequence[Tensor],
    rows: Tensor,
    present: Tensor,
    bias: Tensor,
    spans: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """`polyscale.model.cross_scale.explicit_across`, compiled."""
    lengths = [x.shape[1] for x in queries]
    rows_of_all = (torch.cat(list(parts), dim=1) for parts in (queries, keys_values, masks))
    return _Across.apply(*rows_of_all, lengths, rows, present, bias, spans)


@torch.compiler.disable
def drop(numbers: Tensor, share: float, seed: int) -> Tensor:
    """`polyscale.model.dropout.Dropout` of float32 numbers, for one seed."""
    source, out = _array(numbers), np.empty(numbers.shape, np.float32)
    threshold = np.uint32(min(round(share * 2**32), 2**32 - 1))
    scale = np.float32(1 / (1 - share))
    dropping.drop(source.reshape(-1), np.uint32(seed), threshold, scale, out.reshape(-1))
    return torch.from_numpy(out)


class _Hierarchy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key_value: Tensor, mask: Tensor, bias: Tensor, levels: Any
    ) -> Tensor:
        batch, num_queries, _ = query.shape
        heads, num_keys = bias.shape
        arrays = _array(query), _array(key_value), _flags(mask), np.array(levels)
        context = np.empty(query.shape, np.float32)
        weights = np.empty((batch, heads, num_keys, num_queries), np.float32)

        def run(first: int, last: int) -> None:
            q, kv, present, slots = arrays
            hierarchy.forward(q, kv, present, _array(bias), slots, heads, first, last, context, weights)

        _share(run, batch * heads)
        ctx.save_for_backward(query, key_value, mask, torch.from_numpy(weights))
        ctx.slots, ctx.heads, ctx.dtype = arrays[3], heads, query.dtype
        return torch.from_numpy(context).to(query.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_context: Tensor) -> Any:
        query, key_value, mask, weights = ctx.saved_tensors
        q, kv, present, p = _array(query), _array(key_value), _flags(mask), weights.numpy()
        given = _array(d_context)
        d_query, d_key_value = np.empty(q.shape, np.float32), np.empty(kv.shape, np.float32)
        d_bias = np.empty(p.shape[:3], np.float32)

        def run(first: int, last: int) -> None:
            hierarchy.backward(
                q, kv, present, ctx.slots, ctx.heads, first, last, p, given, d_query, d_key_value, d_bias
            )

        _share(run, len(p) * ctx.heads)
        bias = torch.from_numpy(d_bias.sum(axis=0))
        return (
            torch.from_numpy(d_query).to(ctx.dtype),
            torch.from_numpy(d_key_value).to(ctx.dtype),
            None,
            bias,
            None,
        )


class _Across(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys_values: Tensor,
        masks: Tensor,
        lengths: Any,
        rows: Tensor,
        present: Tensor,
        bias: Tensor,
        spans: Any,
    ) -> tuple[Tensor, Tensor]:
        batch, num_origins, num_scales = rows.shape
        heads, num_keys = bias.shape[0], bias.shape[-1]
        known, starts = rows.contiguous().numpy(), np.cumsum([0, *lengths])
        offsets = np.empty((batch, num_scales, num_keys, num_origins), np.float32)
        across.key_offsets(_flags(masks), starts, known, _flags(present), np.array(spans), offsets)
        context = np.empty((batch, num_origins, num_scales, queries.shape[2]), np.float32)
        block = min(_BLOCK, -(-max(num_origins, 1) // 16) * 16)
        blocks = max(-(-num_origins // block), 1)
        weights = np.empty((batch, heads, blocks, num_scales, num_scales, num_keys, block), np.float32)
        weights[:, :, -1, ..., num_origins - (blocks - 1) * block :] = 0
        asked = _array(queries), _array(keys_values), starts, offsets, known, _array(bias), heads

        def run(first: int, last: int) -> None:
            across.forward(*asked, first, last, context, weights)

        _share(run, batch * heads)
        ctx.save_for_backward(queries, keys_values, rows, torch.from_numpy(weights))
        ctx.heads, ctx.starts = heads, starts
        summed = torch.from_numpy(weights.sum(axis=5).mean(axis=1))  # [B, blocks, S, S, block]
        matrix = summed.permute(0, 1, 4, 2, 3).flatten(1, 2)[:, :num_origins]
        return torch.from_numpy(context).to(queries.dtype), matrix

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_context: Tensor, d_matrix: Tensor) -> Any:
        queries, keys_values, rows, weights = ctx.saved_tensors
        asked = _array(queries), _array(keys_values), ctx.starts, rows.contiguous().numpy(), weights.numpy()
        given = _array(d_context), _array(d_matrix.permute(0, 2, 3, 1) / ctx.heads)
        d_queries = np.zeros(queries.shape, np.float32)
        d_keys_values = np.zeros(keys_values.shape, np.float32)
        d_bias = np.zeros((*weights.shape[:2], *weights.shape[3:6]), np.float32)

        def run(first: int, last: int) -> None:
            across.backward(*asked, ctx.heads, first, last, *given, d_queries, d_keys_values, d_bias)

        _share(run, len(weights) * ctx.heads)
        gradients = (torch.from_numpy(x).to(queries.dtype) for x in (d_queries, d_keys_values))
        return *gradients, None, None, None, None, torch.from_numpy(d_bias.sum(axis=0)), None


def _flags(mask: Tensor) -> Any:
    return mask.contiguous().numpy()


def _array(tensor: Tensor) -> Any:
    return tensor.detach().float().contiguous().numpy()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has none of its parent's threads


def _share(run: Callable[[int, int], None], jobs: int) -> None:
    """Run jobs 0..jobs, in equal parts on torch's number of threads."""
    threads = min(torch.get_num_threads(), jobs)
    if threads <= 1:
        run(0, jobs)
        return
    edges = [jobs * part // threads for part in range(threads + 1)]
    futures = [_pool(threads).submit(run, *edge) for edge in pairwise(edges)]
    for future in futures:
        future.result()
