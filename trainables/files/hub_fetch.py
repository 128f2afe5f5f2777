"""Fetch from the Hugging Face hub: run as a script by `files.hub`, in an environment that says where it may write.

`python -P hub_fetch.py ORDER`, an `Order` as JSON. It leaves `data` and `commit` in the order's folder; where it cannot
it prints why, in one line, and exits with `REFUSED`.
"""

import glob
import json
import shutil
import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

DATA, COMMIT, HOME = "data", "commit", "home"
REFUSED = 3
SECONDS = 10  # for the hub's first answer
INSTALL = "pip install 'tosmooth[huggingface]' on every node"
SHOWN = 5


class RefusedError(Exception):
    """What was ordered cannot be fetched, for a reason that its text gives."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted, as `hub.Address` has it, and the folder for it."""

    repository: str
    revision: str | None
    config: str | None
    split: str | None  # all are fetched
    path: str | None
    folder: str


def main() -> None:
    """Fetch what the first argument orders."""
    order = Order(**json.loads(sys.argv[1]))
    try:
        fetch(order)
    except ImportError as error:
        _refuse(f"install what reads it: {INSTALL} ({error})")
    except RefusedError as error:
        _refuse(str(error))


def fetch(order: Order) -> None:
    """Fetch a data set or files. Raises `RefusedError` where that cannot be, `ImportError` where a library lacks."""
    if order.path is None and int((there := version("datasets")).partition(".")[0]) < 4:
        raise RefusedError(f"datasets {there} may run programs of a data set: {INSTALL}")
    info = _asked(order)
    folder = Path(order.folder)
    commit, data = folder / COMMIT, folder / DATA
    if not commit.exists() or commit.read_text(encoding="utf-8") != info.sha:
        shutil.rmtree(folder / HOME, ignore_errors=True)  # begun at a commit before
        shutil.rmtree(data, ignore_errors=True)
    commit.write_text(info.sha, encoding="utf-8")
    try:
        if order.path is None:
            _data_set(info, order.config, data)
        else:
            _files(info, order.path, data)
    except Exception as error:
        if isinstance(error, RefusedError | ImportError):
            raise
        raise RefusedError(_reason(order, error)) from error


def _asked(order: Order) -> Any:
    """Ask the hub what it has: once, without trying again, so that no one waits where there is no network."""
    from huggingface_hub import HfApi, errors  # noqa: PLC0415 - may not be there

    try:
        api = HfApi()
        info = api.dataset_info(order.repository, revision=order.revision, timeout=SECONDS)
        api.auth_check(info.id, repo_type="dataset")
    except (errors.HfHubHTTPError, errors.HFValidationError) as error:
        raise RefusedError(_reason(order, error)) from error
    except Exception as error:
        instead = "fetch it elsewhere, and name the folder that save_to_disk() of `datasets` writes"
        raise RefusedError(f"{api.endpoint} cannot be reached ({_line(error)}): {instead}") from error
    return info


def _data_set(info: Any, config: str | None, into: Path) -> None:
    """Fetch all splits: as Arrow files, in which pictures are whole and none is a path any more."""
    from datasets import DatasetDict, load_dataset  # noqa: PLC0415 - seconds

    found = load_dataset(info.id, config, revision=info.sha)
    if not isinstance(found, DatasetDict):
        raise RefusedError(f"it has no splits, but is a {type(found).__name__}")
    shutil.rmtree(into, ignore_errors=True)
    found.save_to_disk(into)


def _files(info: Any, path: str, into: Path) -> None:
    """Fetch the file, the files of the folder, or at least those of the pattern."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - may not be there

    names = [sibling.rfilename for sibling in info.siblings]
    patterns = [each for one in {path, path.replace("**/", ""), glob.escape(path)} for each in (one, f"{one}/*")]
    wanted = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    if not wanted:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise RefusedError(f"the data set has no file {path!r}; it has {', '.join(names[:SHOWN])}{more}")
    if any(PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts for name in wanted):
        raise RefusedError("it has names of files that lead out of it")
    snapshot_download(info.id, repo_type="dataset", revision=info.sha, local_dir=into, allow_patterns=patterns)
    lost = [name for name in wanted if not (into / name).is_file()]  # it is content with what is there
    if lost:
        raise RefusedError(f"{lost[0]} could not be fetched: try again")
    shutil.rmtree(into / ".cache")


def _reason(order: Order, error: Exception) -> str:
    from huggingface_hub import errors  # noqa: PLC0415 - may not be there

    match error:
        case errors.GatedRepoError():
            page = f"https://huggingface.co/datasets/{order.repository}"
            return f"it is gated: accept its terms at {page}, and log in by `hf auth login` or HF_TOKEN"
        case errors.RepositoryNotFoundError():
            return "the hub has no such data set, or it is private: check the name, or set HF_TOKEN"
        case errors.RevisionNotFoundError():
            return f"the data set has no revision {order.revision!r}"
        case _:
            return _line(error)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _refuse(line: str) -> None:
    print(line)
    sys.exit(REFUSED)


if __name__ == "__main__":
    main()
