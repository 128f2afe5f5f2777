"""Code of the user's that a study names: found beside its file when it is run, and kept with it from then on."""

import logging
from pathlib import Path

from tosmooth.search.spec.study import StudySpec
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.user_code import UserCode, collect

log = logging.getLogger(__name__)

ADVICE = "bring it back from a copy, or run the study from its own file, beside which its code lies"


def code_beside(study: Path) -> Path:
    """File that holds the code of a study kept in the file `study`."""
    return study.with_suffix(".zip")


def kept_code(spec: StudySpec, study: Path) -> UserCode | None:
    """Read the code that was kept with a study's file; `None` where the study runs none. Executes nothing.

    Raises `InputError` where it is missing, damaged, or not what the study says.
    """
    if spec.code is None:
        return None
    file = code_beside(study)
    try:
        code = UserCode.from_archive(file.read_bytes(), str(file))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}): {ADVICE}") from error
    if code.digest != spec.code:
        raise InputError(f"{file}: is not the code of the study (its digest is {code.digest}): {ADVICE}")
    return code


def with_code(spec: StudySpec, study: Path) -> tuple[StudySpec, UserCode | None]:
    """Return a study read from the file `study`, and the code that it names, if any.

    A study that says which code it runs takes what was kept beside its file, where that is it, else what lies there
    now. Raises `InputError` where that is another, and as `collect` does.
    """
    if not spec.references:
        return spec, None
    if spec.code is not None and code_beside(study).is_file():
        kept = kept_code(spec, study)
        if kept is not None:
            return spec, kept
    code = collect(spec.references, study.absolute().parent)
    if spec.code not in (None, code.digest):
        rule = f"the code that lies beside the study has the digest {code.digest}; leave the key out to run that"
        raise InputError(f"code: {spec.code!r} is refused: {rule}")
    for note in code.notes:
        log.warning("%s", note)
    return spec.model_copy(update={"code": code.digest}), code
