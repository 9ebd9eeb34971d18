"""Memory that a training step frees stays with the process, for the next step.

glibc gives freed blocks beyond 32 MB, and the top of its heap, back to the kernel, which hands them out again
page by page, zeroed: up to half of the time of a step on large stretches.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4  # malloc.h
_KEEP = {_MMAP_MAX: 0, _TRIM_THRESHOLD: -1, _TOP_PAD: 2**28}
_AS_USUAL = {_MMAP_MAX: 65_536, _TRIM_THRESHOLD: 2**26, _TOP_PAD: 2**17, _MMAP_THRESHOLD: 2**25}
"""Where glibc's own rule ends in a process that has freed large blocks."""


@contextmanager
def kept_memory() -> Iterator[bool]:
    """Keep freed memory inside, give back what is free afterwards; nothing where the C library is another."""
    library = ctypes.CDLL(None) if os.name == "posix" else None
    if library is None or not (hasattr(library, "mallopt") and hasattr(library, "malloc_trim")):
        yield False
        return
    try:
        yield _set(library, _KEEP)
    finally:
        _set(library, _AS_USUAL)
        library.malloc_trim(0)


def _set(library: ctypes.CDLL, options: dict[int, int]) -> bool:
    done = [library.mallopt(name, value) == 1 for name, value in options.items()]
    return all(done)
