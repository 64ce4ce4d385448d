"""Suits a process to batches, which come and go as a whole; never limits what memory is used, and turns nothing off.

By itself glibc gives freed memory back to the kernel from 128 KiB on, and a batch is larger than that. So each batch
would have every page of its request and of its answer taken away and zeroed anew, which can cost more than to process
it. And the objects of some batches make Python's collector look at all objects there are, most of which were made
before the first batch and stay.
"""

import ctypes
import gc

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT = 32 * 1024 * 1024  # bytes; what glibc takes at most for the second


def suit() -> None:
    """Keep some megabytes that were freed, where the C library is glibc, and pass by in collections what is there now.

    For a process that has loaded its program and now serves batches: what is garbage already, and in a cycle, stays.
    """
    gc.freeze()
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return  # musl, macOS and Windows have no such function
    for threshold in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
        mallopt(threshold, _KEPT)
