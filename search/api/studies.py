"""Find a study that a command or a call names."""

from pathlib import Path
from typing import TYPE_CHECKING

from tosmooth.trainables.errors import InputError
from tosmooth.trainables.redact import masked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tosmooth.search.api.settings import InForce
    from tosmooth.search.records import Record
    from tosmooth.search.spec.study import StudySpec
    from tosmooth.search.storage.home import Home
    from tosmooth.search.storage.study_folder import StudyFolder
    from tosmooth.trainables.user_code import UserCode


# As if a study that is in no file were in one of the current folder: the user's code lies beside it.
HERE = Path("study.yaml")


def home_at(root: Path) -> "Home":
    """The home in a folder."""
    from tosmooth.search.storage.home import Home

    return Home(root)


def load(
    study: str, home: "Home", changes: list[str] | None, name: str | None, seed: int | None
) -> "tuple[StudySpec, UserCode | None]":
    """Load a study: a shipped one, one kept in the home, or a file; and the user's code that it names, if any."""
    from tosmooth.search.spec.loading import load_study, shipped_studies
    from tosmooth.search.spec.sections import NAME
    from tosmooth.search.storage.code import with_code

    kept = NAME.fullmatch(study) is not None and study not in shipped_studies() and home.study(study).spec_file.exists()
    if kept:
        home.study(study).spec()  # which looks for damage
    shipped = not kept and study in shipped_studies()
    file = home.study(study).spec_file if kept else HERE if shipped else Path(study)
    return with_code(load_study(study if shipped else file, changes or (), name, seed, kept), file)


def existing(study: str, home: "Home", storage: str | None) -> "tuple[StudyFolder, StudySpec, list[Record]]":
    """Read a study of the home, by its name or by the file it was run from, with all its trials."""
    from tosmooth.search.storage.reading import read_records

    folder = home.existing(name_of(study))
    spec = folder.spec()
    return folder, spec, read_records(folder, spec, storage)


def name_of(study: str) -> str:
    """Name of a study that is given by it, or by its file."""
    from tosmooth.search.spec.loading import load_study

    return load_study(study).name if study.endswith((".yaml", ".yml")) else study


def with_prior(changes: list[str] | None, prior_study: str | None) -> list[str]:
    """Changes of a study, with the study named by `--prior-study`."""
    return [*(changes or ()), *([] if prior_study is None else [f"search.prior_study={prior_study}"])]


def data_of(home: "Home", spec: "StudySpec", given: str | None) -> str | None:
    """Place of the study's data: what was given, else what the home remembers of its last run.

    Raises `InputError` where that is gone, and the study reads files.
    """
    if given is not None or (kept := home.study(spec.name).data()) is None:
        return given
    if "://" in kept or Path(kept).exists():
        return kept
    if spec.dataset.reads_files:
        rule = "the folder of the data when this study was last run, and gone; name the one where they are now"
        raise InputError(f"--data-dir: {kept!r} is {rule}")
    return None


def with_data(settings: "Sequence[InForce]", home: "Home", study: str) -> "list[InForce]":
    """Settings in force, with the place of the data that the home remembers of a study where nothing else names it."""
    from tosmooth.search.api.settings import InForce

    kept = home.study(study).data()
    source = f"study {study}, as it was last run"
    if kept is not None and "://" not in kept and not Path(kept).exists():
        source += "; it is gone"
    remembered = None if kept is None else InForce("data-dir", masked(kept), source)
    return [
        remembered if remembered is not None and (each.key, each.source) == ("data-dir", "default") else each
        for each in settings
    ]


def source_of_data(settings: "Sequence[InForce]", home: "Home", spec: "StudySpec") -> "InForce":
    """Place of the study's data, and where that comes from."""
    return next(each for each in with_data(settings, home, spec.name) if each.key == "data-dir")
