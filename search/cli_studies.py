"""How the commands find a study."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.home import Home, StudyFolder
    from search.records import Record
    from search.study import StudySpec


def home_at(root: Path) -> "Home":
    """The home in a folder."""
    from search.home import Home

    return Home(root)


def load(study: str, home: "Home", changes: list[str] | None, name: str | None, seed: int | None) -> "StudySpec":
    """A shipped study, one kept in the home, or a file."""
    from search.loading import load_study, shipped_studies
    from search.sections import NAME

    kept = NAME.fullmatch(study) is not None and study not in shipped_studies() and home.study(study).spec_file.exists()
    if kept:
        home.study(study).spec()  # which looks for damage
    return load_study(home.study(study).spec_file if kept else study, changes or (), name, seed)


def existing(study: str, home: "Home", storage: str | None) -> "tuple[StudyFolder, StudySpec, list[Record]]":
    """A study of the home, by its name or by the file it was run from, with all its trials."""
    from search.loading import load_study
    from search.results import read_records

    folder = home.existing(load_study(study).name if study.endswith((".yaml", ".yml")) else study)
    spec = folder.spec()
    return folder, spec, read_records(folder, spec, storage)
