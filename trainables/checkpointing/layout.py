"""Names and places of the files of trunks, checkpoints and networks."""

import logging
import re
from collections.abc import Iterable

from pyarrow import fs

from tosmooth.trainables.files.filesystems import TROUBLE, open_place, refusal

log = logging.getLogger(__name__)

# Below their place, or being written. The folder may be a user's: nothing else is ever touched.
TRUNK = re.compile(r"[0-9a-f]{32}/[0-9]+\.trunk(\.[0-9a-f]{32}\.partial)?")
CHECKPOINT = re.compile(r"[0-9a-f]{32}\.checkpoint(\.[0-9a-f]{32}\.partial)?")
NETWORK = re.compile(r"[0-9a-f]{32}\.network(\.[0-9a-f]{32}\.partial)?")  # on its way to the driver
MOST = 8  # lengths of a trunk that are kept: each is a file of the network and its optimizer, 170 MB for a ResNet-34


def lengths(warmups: Iterable[float]) -> frozenset[int]:
    """Choose the trunks worth keeping, in epochs, from the warm-ups that a search space allows; 0 epochs need none.

    Of more than 8 warm-ups 8 are chosen, evenly spread, the longest among them: a trial whose warm-up lies between two
    begins at the shorter one.
    """
    found = sorted({int(warmup) for warmup in warmups if warmup > 0})
    kept = min(MOST, len(found))
    return frozenset(found[i * len(found) // kept - 1] for i in range(1, kept + 1))


def trunk_files(files: fs.FileSystem, folder: str) -> list[fs.FileInfo]:
    """List the files of trunks below a folder; none where there is no such folder."""
    return [each for each in _all_files(files, folder) if TRUNK.fullmatch(_below(folder, each.path))]


def remove_states(place: str, *kinds: re.Pattern[str]) -> None:
    """Delete the files of these kinds at a place (`TRUNK`, `CHECKPOINT`), and its folder where nothing is left in it.

    What goes wrong is logged.
    """
    try:
        files, folder = open_place(place)
        found = _all_files(files, folder)
        own = [each.path for each in found if any(kind.fullmatch(_below(folder, each.path)) for kind in kinds)]
        if len(own) == len(found) and files.get_file_info(folder).type == fs.FileType.Directory:
            files.delete_dir(folder)
            return
        for path in own:
            files.delete_file(path)
    except TROUBLE as error:
        log.warning("files are left behind, delete them yourself: %s", refusal(place, "trunks.folder", error))


def _all_files(files: fs.FileSystem, folder: str) -> list[fs.FileInfo]:
    found = files.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
    return [each for each in found if each.type == fs.FileType.File]


def _below(folder: str, path: str) -> str:
    return path.removeprefix(folder).lstrip("/")
