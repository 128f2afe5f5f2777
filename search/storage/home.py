"""Home: the one folder that holds all that studies leave behind. It can be moved; nothing in it names its path."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from tosmooth.search.spec.study import check_name
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders


@dataclass(frozen=True, slots=True)
class Home:
    """Folder given as `--home`."""

    root: Path

    def folders(self, data: str | Path | None, cache: Path | None = None) -> Folders:
        """Folders of data and of decoded images (`--data-dir`, `--cache-dir`), else inside the home."""
        place = str(data or self.root / "data")
        own = place if "://" in place else str(Path(place).absolute())
        return Folders.at(own, (cache or self.root / "cache").absolute())

    def study(self, name: str) -> StudyFolder:
        """Folder of a study, whether it exists or not. Raises `InputError` for what is no name."""
        return StudyFolder(self.root / "studies" / check_name(name))

    def existing(self, name: str) -> StudyFolder:
        """Folder of a study that was run; raises `InputError` where there is none."""
        folder = self.study(name)
        if not folder.spec_file.exists():
            raise InputError(self._unknown(name, "run it first"))
        return folder

    def deletable(self, name: str) -> StudyFolder:
        """Folder of a study that was run, or of which a deletion left something; raises `InputError` without one."""
        folder = self.study(name)
        if not folder.path.is_dir():
            raise InputError(self._unknown(name, ""))
        return folder

    def _unknown(self, name: str, advice: str) -> str:
        names = [found.path.name for found in self.studies()]
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else advice
        words = f"study {name!r} is not in the home {self.root} (there: {', '.join(names) or 'none'})"
        return f"{words}; {hint}" if hint else words

    def studies(self) -> list[StudyFolder]:
        """List all studies of this home, by name."""
        return [StudyFolder(path.parent) for path in sorted(self.root.glob("studies/*/study.yaml"))]
