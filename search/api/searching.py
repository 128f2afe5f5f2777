"""Search over data in memory: arrays in, a recommendation out."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tosmooth.search.api.places import places_of
from tosmooth.search.api.result import Result
from tosmooth.search.api.running import load, run_spec
from tosmooth.search.api.studies import HERE
from tosmooth.search.api.study import overrides, settled
from tosmooth.search.spec.loading import read_study, to_yaml
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.code import with_code
from tosmooth.search.storage.home import Home
from tosmooth.trainables.errors import require


def search(
    X: Any,
    y: Any = None,
    X_test: Any = None,
    y_test: Any = None,
    *,
    annotators: Any = None,
    clean: Any = None,
    missing: Sequence[Any] = (),
    network: str | Mapping[str, Any] | None = None,
    epochs: int | None = None,
    trials: int | None = None,
    seeds: int | None = None,
    changes: Mapping[str, Any] | None = None,
    name: str | None = None,
    seed: int | None = None,
    home: str | Path | None = None,
    cache_dir: str | Path | None = None,
    address: str | None = None,
    storage: str | None = None,
    tracking_uri: str | None = None,
    progress: bool = True,
) -> Result:
    """Search the smoothing rate and the warm-up for data in memory; the result's `.recommendation` says what to do.

    `X` are features [N, D], an array, a tensor or a table of pandas or Arrow; or pictures [N, H, W], [N, H, W, C] or
    [N, C, H, W], as bytes (0 to 255) or floats from 0 to 1. `y` [N] are labels that are partly wrong; `annotators`, in
    their place or besides, labels of several people, [N, A] or a mapping by names; `clean` [N] labels that are known to
    be right. NaN, None and the values in `missing` are no labels. Where features are missing (NaN, None), the median of
    the training rows stands there, beside a feature that says so (`dataset.table.impute`).

    The gain is measured on `X_test` with `y_test`, whose labels are taken as right; without them, on the noisy
    validation.

    Network, epochs, trials and fresh seeds are those that `tosmooth init` proposes for so much data, unless they are
    given. `changes` are changes of that study; these and all other arguments are as `run` takes them. The data are
    written into the home (`arrays/`). The same call goes on where it was interrupted. Raises as `run` does.
    """
    places = places_of(
        home, {"cache_dir": cache_dir, "address": address, "storage": storage, "tracking_uri": tracking_uri}
    )
    from tosmooth.search.api.arrays import written

    data = written(places.home, X, y, X_test, y_test, annotators, clean, missing)
    own = _changes(network, epochs, trials, seeds) | dict(changes or {})
    folders = Home(places.home).folders(data.folder, None if places.cache_dir is None else Path(places.cache_dir))
    spec = _proposed(data.table, folders, overrides(own), seed)
    spec = read_study(to_yaml(spec), "the proposed study", name=name or _name(data.digest, spec))
    spec, code = with_code(spec, HERE)
    run_spec(spec, places, progress, str(data.folder), code)
    return load(spec.name, home=places.home, storage=places.storage)


def settled_network(network: str | Mapping[str, Any]) -> dict[str, Any]:
    """Section `network` of a study, from a network's name or the section itself."""
    found: dict[str, Any] = {"name": network} if isinstance(network, str) else settled(network, "network")
    return found


def _changes(
    network: str | Mapping[str, Any] | None, epochs: int | None, trials: int | None, seeds: int | None
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if network is not None:
        found["network"] = settled_network(network)
    if epochs is not None:
        require(type(epochs) is int and epochs >= 1, "epochs", epochs, "a whole number, 1 or more")
        found |= {"training.epochs": epochs, "space.warmup": {"low": 0, "high": max(1, round(0.6 * epochs))}}
    if trials is not None:
        found["search.trials"] = trials
    if seeds is not None:
        found["confirmation.seeds"] = seeds
    return found


def _proposed(table: Any, folders: Any, changes: list[str], seed: int | None) -> StudySpec:
    """Study of the data as `tosmooth init` would propose it, changed."""
    from tosmooth.search.init.look import Found
    from tosmooth.search.init.propose import BUDGETS, text_of
    from tosmooth.trainables.config import DataConfig
    from tosmooth.trainables.data.own_data import own_data

    source = own_data(DataConfig(dataset="arrays", noise="given", table=table), folders)
    found = Found("arrays", table, source, ())
    return read_study(text_of(found, "arrays", *BUDGETS[0]), "the proposed study", changes, seed=seed)


def _name(digest: str, spec: StudySpec) -> str:
    """Name of the data and of what shapes the numbers: other settings are another study, more trials the same."""
    meaning = json.dumps([spec.meaning(), list(spec.dataset.noise), list(spec.method)], sort_keys=True)
    return f"search-{digest[:8]}-{hashlib.sha256(meaning.encode()).hexdigest()[:8]}"
