"""Memory that a training step frees stays with the process, for the next step: for all that is compared.

glibc gives every freed block beyond 32 MB back to the kernel, which hands it out again page by page, zeroed:
half of the time of a training step at these sizes, whoever's step it is.
"""

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # malloc.h; a threshold of -1 is none


def keep_freed_memory() -> bool:
    """Ask glibc; False where the C library is another one, which then does as it does."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    asked = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, 2**28))
    return all(mallopt(name, value) == 1 for name, value in asked)
