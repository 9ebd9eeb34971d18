"""A look at the attention weights of a forward pass: every softmax is handed to whoever asked for it.

The formulas of the attention call `note`; inside ``recording()`` it keeps what they say, in the order in
which the network runs, elsewhere it does nothing. The compiled kernels give no weights, so a recording is
explicit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

from polyscale.model.kernels.ops import explicit

_RECORD: ContextVar[list[Tensor] | None] = ContextVar("record", default=None)


@contextmanager
def recording() -> Iterator[list[Tensor]]:
    """Weights of every attention that runs inside: in an encoder [B, Q, H, K], across [B, N, H, S, S, K]."""
    record: list[Tensor] = []
    token = _RECORD.set(record)
    try:
        with explicit():
            yield record
    finally:
        _RECORD.reset(token)


def note(weights: Tensor) -> None:
    """Keep the weights, if somebody records."""
    record = _RECORD.get()
    if record is not None:
        record.append(weights.detach())
