"""Machine settings of a run."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from tosmooth.search.storage.home import Home
from tosmooth.trainables.user_code import UserCode


@dataclass(frozen=True, slots=True)
class Options:
    """Places that a study runs in and writes to; nothing that shapes a number."""

    home: Home
    _: KW_ONLY
    data: str | Path | None = None  # a folder or a URI; None: data/ in the home
    address: str | None = None  # of an existing Ray cluster; None: a local one
    tracking_uri: str | None = None  # None: MLflow's database under the home
    storage: str | None = None  # database URL for Optuna; None: a journal file under the home
    cache: Path | None = None  # for decoded images, on each node; None: cache/ in the home
    code: UserCode | None = None  # of the user's, as the study names it; its digest is the study's
    command: str = ""  # as it was typed, without secrets, to be shown; "": no command


class RayLostError(RuntimeError):
    """A process of Ray is gone. Without a watch it would be waited for: for ever, or until Ray ends the driver."""
