"""Running a study from Python, and finding one that was run."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tosmooth.search.api.messages import Messages
from tosmooth.search.api.places import Places, places_of
from tosmooth.search.api.process import run_apart
from tosmooth.search.api.result import Result
from tosmooth.search.api.studies import HERE, data_of, existing
from tosmooth.search.api.studies import load as load_spec
from tosmooth.search.api.study import Study, overrides
from tosmooth.search.api.worker import Request
from tosmooth.search.spec.loading import read_study, to_yaml
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.code import with_code
from tosmooth.search.storage.home import Home
from tosmooth.trainables.errors import require
from tosmooth.trainables.user_code import UserCode


def run(
    study: str | Path | Study,
    changes: Mapping[str, Any] | None = None,
    *,
    trials: int | None = None,
    name: str | None = None,
    seed: int | None = None,
    prior_study: str | None = None,
    home: str | Path | None = None,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    address: str | None = None,
    storage: str | None = None,
    tracking_uri: str | None = None,
    progress: bool = True,
) -> Result:
    """Run or resume a study to its end, as `tosmooth run` does, and return its result.

    `study`: the name of a study that comes with tosmooth or lies in the home, the path of a study file, or a `Study`.
    `changes`: values by the paths of their keys, as `--set` takes them: `{"training.epochs": 20}`. `trials` is short
    for `search.trials`. `name` keeps the result as a study of its own; `seed` is the study's; `prior_study` names a
    study of the home whose findings are tried early. Places and services are the settings of the command line. What is
    not given comes from the environment, then from the home's `tosmooth.toml`. `progress`: show how far the study is.

    The study runs in a process of its own. Raises `InputError` for wrong input, before anything is trained;
    `KeyboardInterrupt` where it is interrupted; `RuntimeError` where Ray is lost. What ended by then is kept, and the
    same call goes on.
    """
    given = {
        "data_dir": data_dir,
        "cache_dir": cache_dir,
        "address": address,
        "storage": storage,
        "tracking_uri": tracking_uri,
    }
    places = places_of(home, given)
    own = dict(changes or {})
    for key, value in (("search.trials", trials), ("search.prior_study", prior_study)):
        if value is not None:
            require(key not in own, key, own.get(key), f"given twice: {value} is the other")
            own[key] = value
    spec, code = _spec(study, places, overrides(own), name, seed)
    run_spec(spec, places, progress, data_of(Home(places.home), spec, places.data_dir), code)
    return load(spec.name, home=places.home, storage=places.storage)


def load(name: str | Path, *, home: str | Path | None = None, storage: str | None = None) -> Result:
    """Load a study of a home, by its name or by the path of its file, as far as it has been run; trains nothing.

    Raises `InputError` where there is none, or its record is damaged.
    """
    places = places_of(home, {"storage": storage})
    folder, spec, records = existing(str(name), Home(places.home), places.storage)
    return Result(folder, spec, folder.levels(), records)


def _spec(
    study: str | Path | Study, places: Places, changes: list[str], name: str | None, seed: int | None
) -> tuple[StudySpec, UserCode | None]:
    """Read the study, and the user's code that it names: of a `Study` it lies in the current folder."""
    ok = isinstance(study, str | Path | Study)
    require(ok, "study", study, "the name of a study, the path of a study file, or a tosmooth.Study")
    if isinstance(study, Study):
        return with_code(read_study(study.to_yaml(), "Study", changes, name, seed), HERE)
    return load_spec(str(study), Home(places.home), changes, name, seed)


def run_spec(spec: StudySpec, places: Places, progress: bool, data: str | None, code: UserCode | None = None) -> None:
    """Run a study to its end, in a process of its own, with the data in the folder or at the URI `data`."""
    messages = Messages()
    request = Request(
        study=to_yaml(spec),
        home=str(places.home),
        data=data,
        cache=places.cache_dir,
        address=places.address,
        tracking_uri=places.tracking_uri,
        storage=places.storage,
        code=None if code is None else base64.b64encode(code.archive).decode(),
        quiet=not progress,
        line_every=messages.line_every,
    )
    run_apart(request, messages)
