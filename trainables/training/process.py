"""A process that trains: its threads, and what it does with memory that was freed."""

import ctypes
import sys

import torch

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt(3)


def prepare(threads: int | None = None) -> None:
    """Set up this process for training: `threads` (`None`: torch's choice), and no memory given back between steps."""
    if threads is not None:
        torch.set_num_threads(threads)
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Have glibc keep what is freed, for the next step.

    By default a tensor of some MB goes back to the system each time, and is faulted in page by page when it is made
    anew: evaluation of a small CNN takes twice as long then.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # elsewhere, and in other C libraries, there is no such thing
        mallopt(TRIM_THRESHOLD, 2**30)
        if not mallopt(MMAP_THRESHOLD, 2**30):  # some versions take no more than this
            mallopt(MMAP_THRESHOLD, 2**25)
