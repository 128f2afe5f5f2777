"""Folders of the files of a run."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Folders:
    """Folders on this machine: `data` as the user brought it, `cache` for decoded images.

    Data on another machine (`remote`, a URI of pyarrow's file systems) are copied into `data` as far as they are
    brought.
    """

    data: Path
    cache: Path
    remote: str | None = None

    @classmethod
    def at(cls, place: str, cache: Path) -> "Folders":
        """Make the folders for data at a path or URI: those at a URI are copied into a folder of the cache."""
        if "://" not in place:
            return cls(Path(place), cache)
        return cls(cache / "data" / hashlib.sha256(place.encode()).hexdigest()[:16], cache, place)

    @property
    def place(self) -> str:
        """Path or URI that the data come from: the inverse of `at`."""
        return self.remote or str(self.data)

    def bring(self, *names: str, optional: bool = False) -> None:
        """Copy these files, or folders of files, into `data` if they lie on another machine (`remote.bring`)."""
        if self.remote is not None:
            from tosmooth.trainables.files.remote import bring  # noqa: PLC0415 - most data are here

            bring(self.remote, self.data, [name for name in names if not Path(name).is_absolute()], optional)
