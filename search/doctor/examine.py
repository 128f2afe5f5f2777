"""Check all that a study needs around it: `tosmooth doctor`.

Each service is asked in a thread of its own, for at most `PATIENCE`, while Ray is looked at: a service that hangs does
not keep the others from being seen.
"""

import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import ray
from pyarrow import fs
from rich.console import Console

from tosmooth.search.doctor.mlflow import probe, probe_study
from tosmooth.search.doctor.optuna_storage import probe_storage
from tosmooth.search.preflight.checks import (
    GB,
    Check,
    State,
    cores_check,
    data_check,
    disk_check,
    folder_checks,
    some,
    version_check,
)
from tosmooth.search.preflight.limits import usable_memory
from tosmooth.search.preflight.machine import Machine, Wanted, look, marked, missing, remove_empty
from tosmooth.search.preflight.nodes import Node, look_at_nodes
from tosmooth.search.report.cost import LESS
from tosmooth.search.run.budget import expected_cost
from tosmooth.search.run.level_measurement import Measuring
from tosmooth.search.run.options import Options
from tosmooth.search.run.ray_cluster import cluster, local_resources
from tosmooth.search.run.resources import slots
from tosmooth.search.run.session_folder import place, places
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.trainables.config import TableSource
from tosmooth.trainables.data.cifar import official_files
from tosmooth.trainables.data.fetch import FETCHABLE, verify
from tosmooth.trainables.data.hub_layout import parquet_files
from tosmooth.trainables.data.own_data import source_files
from tosmooth.trainables.errors import InputError, first_line
from tosmooth.trainables.files.filesystems import TROUBLE, open_place
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.files.hub import on_hub
from tosmooth.trainables.redact import masked
from tosmooth.trainables.user_code import UserCode

MOST_FILES = 1000  # of a study's data that nodes are asked for
PATIENCE = 20.0  # seconds for what a service has to say, beyond the time that Ray takes
LATE = "it hangs, or something between here and there drops what we send: look at its log and at the network"
INSTALL = "install there what the driver has, or look at the node's log (in Ray's session folder)"


class Asked:
    """Check that runs in a thread of its own, beside the others."""

    def __init__(self, name: str, call: Callable[[], Check]) -> None:
        self._name, self._call = name, call
        self._found: Check | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)  # one that hangs ends with the process
        self._thread.start()

    def _run(self) -> None:
        self._found = self._call()

    def answer(self) -> Check:
        """Wait for the check and return it; one without an answer within `PATIENCE` has failed."""
        self._thread.join(PATIENCE)
        return self._found or Check(self._name, "failed", f"no answer within {PATIENCE:g} s", LATE)


@dataclass(frozen=True, slots=True)
class Seen:
    """Findings about Ray, this machine, and the nodes of the cluster if one is joined."""

    ray: Check
    driver: Machine
    resources: tuple[Mapping[str, float], ...] = ()  # of each node, or of this machine; none where Ray is away
    nodes: tuple[Node, ...] = ()


def examine(options: Options, spec: StudySpec | None, console: Console) -> list[Check]:
    """Make every check and return them in the order shown; data are those of the study, if one is named."""
    home, folders = options.home, options.home.folders(options.data, options.cache)
    study = None if spec is None else home.study(spec.name)
    made = missing(home.root.absolute())
    with nullcontext() if spec is None else Measuring(spec, folders, options.code) as measuring:
        services = [
            Asked("Optuna's storage", lambda: probe_storage(home, study, options.storage)),
            Asked("MLflow", lambda: _mlflow(options, study)),
        ]
        own = {"home": str(home.root.absolute())}  # which the nodes share, too, unless the study names another place
        shared = own if study is None or spec is None else study.shared(spec)
        files = () if spec is None or folders.remote else data_files(spec, folders.data)  # nodes copy those of a URI
        wanted = Wanted(shared, str(folders.cache), files)
        seen = _see(options.address, wanted, own, console, spec is not None and spec.resources.concurrent is not None)
        with console.status("Asking the services, and measuring the data"):
            found = [service.answer() for service in services]
            if measuring is None or spec is None or study is None:
                asked = [_data_sets(folders)]
            else:
                asked = [_data(spec, study, measuring, folders), *_asked(spec, options.address, measuring, seen)]
    remove_empty(made)  # checks that ran side by side found what another had made, and left it
    machines = {node.address: node.found for node in seen.nodes if node.found is not None}
    train = {node.address: node.found for node in seen.nodes if node.found is not None and node.trains}
    everyone = {"driver": seen.driver, **machines}
    return [
        seen.ray,
        *_silent_nodes(seen.nodes),
        *found,
        *([] if "home" in shared else folder_checks(own, wanted.cache, {"driver": seen.driver})[:1]),
        *folder_checks(shared, wanted.cache, {"driver": seen.driver, **(train or machines)}),
        *asked,
        *_code(options.code),
        *filter(None, [data_check(seen.driver, train) if train else None]),
        *(
            [cores_check({node.address: node.resources.get("CPU", 0) for node in seen.nodes}, machines)]
            if machines
            else []
        ),
        version_check(seen.driver, machines),
        disk_check(everyone),
    ]


def _mlflow(options: Options, study: StudyFolder | None) -> Check:
    home, uri = options.home.root, options.tracking_uri
    return probe(home, uri) if study is None else probe_study(home, uri, study, options.storage)


def data_files(spec: StudySpec, data: Path) -> tuple[str, ...]:
    """Files that a study's data and transition matrices are read from; none of what is generated or a library's."""
    files = [data / name for name in (spec.dataset.matrices or {}).values()]
    files += [data / each.file for each in (spec.dataset.cleaned_by or {}).values()]
    if (table := spec.dataset.table) is not None:
        files += _own_files(table, data)
    elif spec.dataset.name in FETCHABLE:
        cifar, human = FETCHABLE[spec.dataset.name]
        official = (data / cifar.folder).is_dir()
        packed = [path for paths in (parquet_files(cifar.name, data) or {}).values() for path in paths]
        files += official_files(cifar, data) if official else packed
        files += [data / human.file] if human is not None else []
    return tuple(map(str, files))


def _own_files(table: TableSource, data: Path) -> list[Path]:
    """Files of a user's own data, not all of a great many; where some are missing, what is named.

    None where some are on the Hugging Face hub: each node fetches those.
    """
    if any(on_hub(place) for part in ("train", "test") for place in table.places(part)):
        return []
    try:
        return source_files(table, Folders(data, data))[:MOST_FILES]
    except InputError:
        return [data / name for name in (table.train, table.test) if isinstance(name, str)]


def _see(address: str | None, wanted: Wanted, own: dict[str, str], console: Console, grows: bool) -> Seen:
    """Look at Ray, this machine and the nodes.

    `own`: folders that only the driver must have. `grows`: the study may wait for nodes (`search.run.resources.slots`).
    """
    if address is None:
        found = local_resources()
        return Seen(_own_ray(found), look(replace(wanted, shared=own | wanted.shared)), (found,))
    mark = f"{uuid.uuid4().hex}.doctor"
    with marked(wanted.shared, mark):
        driver = look(replace(wanted, shared=own | wanted.shared))
        try:
            with cluster(address, console), console.status("Looking at the nodes"):
                resources = ray.cluster_resources()
                nodes = tuple(look_at_nodes(replace(wanted, mark=mark)))
        except InputError as error:
            advice = "start the cluster, or check --address and the token (RAY_AUTH_MODE, RAY_AUTH_TOKEN_PATH)"
            return Seen(Check("Ray", "failed", str(error).removeprefix("--address: "), advice), driver)
    counted = _counted({kind: resources.get(kind, 0) for kind in ("CPU", "GPU")})
    words = f"{ray.__version__} at {masked(address)}: {len(nodes)} nodes, {counted}"
    each = tuple(node.resources for node in nodes)
    if not resources.get("CPU"):
        advice = "start nodes with CPUs: no trial can run; for a cluster that grows by itself set resources.concurrent"
        return Seen(Check("Ray", "warning" if grows else "failed", words, advice), driver, each, nodes)
    return Seen(Check("Ray", "ok", words), driver, each, nodes)


def _asked(spec: StudySpec, address: str | None, measuring: Measuring, seen: Seen) -> list[Check]:
    """Check what the study asks for: resources, as far as Ray could be looked at, and a budget that someone means."""
    resources, at_once = [], None
    if seen.resources:
        try:
            at_once, fit = slots(spec.resources, seen.resources, address is not None)
            words, few = f"room for {fit} of {at_once} trials at once", fit < at_once
            advice = "the others wait for nodes that join" if few else ""
            resources = [Check("resources", "warning" if few else "ok", words, advice)]
        except InputError as error:
            words = str(error).removeprefix("resources: ")
            resources = [Check("resources", "failed", words, "ask for less, or run it where there is more")]
    cost = expected_cost(spec, address, measuring, at_once)
    state: State = "warning" if cost.warning else "ok"
    return [
        *resources,
        Check("budget", state, f"at most {cost.epochs:,} epochs; {cost.time}", LESS * bool(cost.warning)),
    ]


def _own_ray(found: Mapping[str, float]) -> Check:
    """Check what a Ray that is started here would have: cores and memory of this process, a folder for its sockets."""
    words = f"one of its own is started, {ray.__version__}: {_counted(found)}"
    words += f", {usable_memory() / GB:.1f} GB of memory"
    try:
        place(places())
    except InputError as error:
        return Check("Ray", "failed", f"{words}, but {error}", "set TMPDIR to a short path")
    return Check("Ray", "ok", words)


def _counted(found: Mapping[str, float]) -> str:
    return f"{found['CPU']:g} CPUs, {found['GPU']:g} GPUs"


def _code(code: UserCode | None) -> list[Check]:
    """List the user's code that the study names: it was run to make the network, or the data could not be measured."""
    return [] if code is None else [Check("code", "ok", f"{code.digest[:12]}: {', '.join(code.files)}")]


def _silent_nodes(nodes: tuple[Node, ...]) -> list[Check]:
    """Failed check that names the nodes that could not be looked at; none if there are none."""
    silent = [f"{node.address}: {node.trouble}" for node in nodes if node.found is None]
    return [Check("nodes", "failed", some(silent), INSTALL)] if silent else []


def _data(spec: StudySpec, study: StudyFolder, measuring: Measuring, folders: Folders) -> Check:
    """Check that the study's data are as they were when it was first run, and as they were published."""
    advice = "bring the files as they were published, or were; --data-dir names their folder"
    try:
        levels = measuring.levels()
        study.check_levels(levels)
        checks = verify(spec.dataset.name, folders) if spec.dataset.name in FETCHABLE else []
    except (InputError, RuntimeError, OSError) as error:
        return Check("data", "failed", str(error), advice)
    if wrong := [str(check) for check in checks if check.state != "ok"]:
        return Check("data", "failed", some(wrong), advice)
    digests = ", ".join(f"{level.noise} {level.digest[:8]}" for level in levels.values())
    return Check("data", "ok", f"{spec.dataset.name}: {digests}")


def _data_sets(folders: Folders) -> Check:
    """List the data sets that lie in the data folder, without a look at their digests."""
    if folders.remote is not None:
        return _data_place(folders.remote)
    data = folders.data
    there = []
    for name, (cifar, human) in FETCHABLE.items():
        images = (data / cifar.folder).is_dir() or parquet_files(cifar.name, data) is not None
        there += [name] if images and (human is None or (data / human.file).is_file()) else []
    tables = len(list(data.glob("*.parquet"))) if data.is_dir() else 0
    there += [f"{tables} Parquet files"] if tables else []
    words = f"{data}: {', '.join(there) or 'none that are brought'}; others come with tosmooth"
    return Check("data", "ok", words)


def _data_place(place: str) -> Check:
    """Check that the place that data are copied from can be read."""
    try:
        files, folder = open_place(place, "--data-dir")
        found = len(files.get_file_info(fs.FileSelector(folder)))
    except TROUBLE as error:
        advice = "check --data-dir, and what its store asks for in the environment"
        return Check("data", "failed", f"{masked(place)}: {first_line(error).replace(place, masked(place))}", advice)
    return Check("data", "ok", f"{masked(place)}: {found} names; each node copies what it reads")
