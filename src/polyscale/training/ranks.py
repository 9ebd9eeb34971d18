"""The processes of a data-parallel training, as torchrun starts them; a process alone is rank 0 of 1.

Every rank reads the same bars and computes the same panels; what only one may do (make a folder, print,
write) rank 0 does, and the others learn of it here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from polyscale.market.errors import PolyscaleError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


def _started_by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def size() -> int:
    """How many processes train together."""
    return int(os.environ["WORLD_SIZE"]) if _started_by_torchrun() else 1


def size_here() -> int:
    """How many of them on this machine."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if _started_by_torchrun() else 1


def rank() -> int:
    """Which of them this is."""
    return int(os.environ["RANK"]) if _started_by_torchrun() else 0


def is_first() -> bool:
    """Whether this process writes and prints."""
    return rank() == 0


def from_first(make: Callable[[], T]) -> T:
    """What ``make`` gives in the first process, in all of them; its error as well."""
    if size() == 1:
        return make()
    outcome: list[Any] = [None, None]
    if is_first():
        try:
            outcome[0] = make()
        except PolyscaleError as error:
            outcome[1] = error
    _distributed().broadcast_object_list(outcome, src=0)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def wait_for_all() -> None:
    """Go on when every process has come so far."""
    if size() > 1:
        _distributed().barrier()


def gathered(mine: T) -> list[T]:
    """What every process has, in the order of their ranks."""
    if size() == 1:
        return [mine]
    everyones: list[Any] = [None] * size()
    _distributed().all_gather_object(everyones, mine)
    return everyones


def summed(numbers: Tensor) -> Tensor:
    """The sum over all processes."""
    if size() > 1:
        _distributed().all_reduce(numbers)
    return numbers


def _distributed() -> Any:
    """Torch's own module, connected: by gloo, which needs no GPU."""
    from torch import distributed

    if not distributed.is_initialized():
        distributed.init_process_group("gloo")
    return distributed
