"""Where the files of a run lie."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Folders:
    """Where files lie on this machine: `data` as the user brought it, `cache` for decoded images.

    Data on another machine (`remote`, a URI of pyarrow's file systems) are copied into `data` as far as they are
    brought.
    """

    data: Path
    cache: Path
    remote: str | None = None

    @classmethod
    def at(cls, place: str, cache: Path) -> "Folders":
        """For data at a path or URI: those at a URI are copied into a folder of the cache."""
        if "://" not in place:
            return cls(Path(place), cache)
        return cls(cache / "data" / hashlib.sha256(place.encode()).hexdigest()[:16], cache, place)

    @property
    def place(self) -> str:
        """Where the data come from: the inverse of `at`."""
        return self.remote or str(self.data)

    def bring(self, *names: str, optional: bool = False) -> None:
        """Have these files, or folders of files, in `data`, where they lie on another machine (`remote.bring`)."""
        if self.remote is not None:
            from trainables.remote import bring  # noqa: PLC0415 - most data are here

            bring(self.remote, self.data, [name for name in names if not Path(name).is_absolute()], optional)
