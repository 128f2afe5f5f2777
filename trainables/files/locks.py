"""Locks between processes, which die with the process that holds them."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from tosmooth.trainables.errors import InputError

NONE = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)  # what a file system without locks answers


@contextmanager
def held(file: Path, timeout: float = -1) -> Iterator[None]:
    """Hold the lock that a file stands for. Raises `filelock.Timeout` where another holds it for `timeout` seconds.

    Raises `InputError` on a file system without locks: a file that is there or not would outlive a killed process.
    """
    lock = FileLock(file, timeout=timeout, fallback_to_soft=False)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in NONE:
            raise
        rule = "name a folder on a local disk, or mount the share with locks (NFS: version 4, Lustre: flock)"
        raise InputError(f"{file.parent}: its file system has no locks ({error.strerror}); {rule}") from error
    try:
        yield
    finally:
        lock.release()
