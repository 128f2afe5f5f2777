"""A disk that takes no more: full, or mounted read-only in the middle; reported as one message."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.trainables.errors import InputError

FULL = "no room on the disk; make room"
WORDS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EROFS: "Read-only file system; name a folder you may write to, or have it mounted so",
    errno.EIO: "the disk fails (Input/output error); have it seen to",
    errno.ESTALE: "the network share is gone (Stale file handle); have it mounted again",
}


@contextmanager
def room_on_disk(folder: StudyFolder) -> Iterator[None]:
    """Raise `InputError` if a disk took no more, whatever was being written."""
    try:
        yield
    except Exception as error:
        if (refused := _of_disk(error)) is not None and refused.errno is not None:
            where = refused.filename or folder.path
            again = "and run the study again: it goes on"
            raise InputError(f"{where}: {WORDS[refused.errno]} {again}") from error
        raise


def _of_disk(error: BaseException | None) -> OSError | None:
    """Error of a disk behind another error, if there is one; Tune may have wrapped it in its own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in WORDS:
            return error
        if isinstance(error, InputError):
            return None
        error = error.__cause__ or error.__context__
    return None
