"""All that a study needs of its surroundings, looked at: `tosmooth doctor`.

Services are asked each in a thread of its own, for at most `PATIENCE`, while Ray is looked at: one that hangs keeps no
other from being seen.
"""

import threading
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import ray
from pyarrow import fs
from rich.console import Console

from search.cluster import cluster, local_resources
from search.doctor.checks import Check, data_check, disk_check, folder_checks, some, version_check
from search.doctor.machine import Machine, Wanted, look, marked
from search.doctor.nodes import Node, look_at_nodes
from search.doctor.storage import probe_storage
from search.home import StudyFolder
from search.levels import Measuring
from search.runner import Options
from search.study import StudySpec
from search.tracking.probe import probe
from trainables.cifar import official_files, parquet_files
from trainables.config import InputError
from trainables.errors import first_line
from trainables.fetch import FETCHABLE, verify
from trainables.folders import Folders
from trainables.masking import masked
from trainables.places import TROUBLE, open_place

PATIENCE = 20.0  # seconds for what a service has to say, beyond the time that Ray takes
LATE = "it hangs, or something between here and there drops what we send: look at its log and at the network"
INSTALL = "install there what the driver has, or look at the node's log (in Ray's session folder)"


class Asked:
    """A check that runs beside others."""

    def __init__(self, name: str, call: Callable[[], Check]) -> None:
        self._name, self._call = name, call
        self._found: Check | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)  # one that hangs ends with the process
        self._thread.start()

    def _run(self) -> None:
        self._found = self._call()

    def answer(self) -> Check:
        """What was found, or that nothing was within `PATIENCE`."""
        self._thread.join(PATIENCE)
        return self._found or Check(self._name, "failed", f"no answer within {PATIENCE:g} s", LATE)


@dataclass(frozen=True, slots=True)
class Seen:
    """Ray, this machine, and the nodes of the cluster where one is joined."""

    ray: Check
    driver: Machine
    nodes: tuple[Node, ...] = ()


def examine(options: Options, spec: StudySpec | None, console: Console) -> list[Check]:
    """Every check, in the order in which they are shown; those of data are of the study's where one is named."""
    home, folders = options.home, options.home.folders(options.data, options.cache)
    study = None if spec is None else home.study(spec.name)
    with nullcontext() if spec is None else Measuring(spec, folders) as measuring:
        services = [
            Asked("Optuna's storage", lambda: probe_storage(home, study, options.storage)),
            Asked("MLflow", lambda: probe(home.root, options.tracking_uri)),
        ]
        own = {"home": str(home.root.absolute())}  # which the nodes share, too, unless the study names another place
        shared = own if study is None or spec is None else study.shared(spec, home)
        files = () if spec is None or folders.remote else data_files(spec, folders.data)  # nodes copy those of a URI
        wanted = Wanted(shared, str(folders.cache), files)
        seen = _see(options.address, wanted, own, console, spec is not None and spec.resources.concurrent is not None)
        with console.status("Asking the services, and measuring the data"):
            found = [service.answer() for service in services]
            if measuring is None or spec is None or study is None:
                data = _data_sets(folders)
            else:
                data = _data(spec, study, measuring, folders)
    machines = {node.address: node.found for node in seen.nodes if node.found is not None}
    train = {node.address: node.found for node in seen.nodes if node.found is not None and node.trains}
    everyone = {"driver": seen.driver, **machines}
    return [
        seen.ray,
        *_silent_nodes(seen.nodes),
        *found,
        *([] if "home" in shared else folder_checks(own, wanted.cache, {"driver": seen.driver})[:1]),
        *folder_checks(shared, wanted.cache, {"driver": seen.driver, **(train or machines)}),
        data,
        *filter(None, [data_check(seen.driver, train) if train else None]),
        version_check(seen.driver, machines),
        disk_check(everyone),
    ]


def data_files(spec: StudySpec, data: Path) -> tuple[str, ...]:
    """The files that a study's data set is read from; none where it is made or comes with a library."""
    if (table := spec.dataset.table) is not None:
        return tuple(str(data / name) for name in (table.train, table.test) if name is not None)
    if spec.dataset.name not in FETCHABLE:
        return ()
    cifar, human = FETCHABLE[spec.dataset.name]
    official = (data / cifar.folder).is_dir()
    images = official_files(cifar, data) if official else parquet_files(cifar, data) or ()
    return tuple(map(str, [*images, *([data / human.file] if human is not None else [])]))


def _see(address: str | None, wanted: Wanted, own: dict[str, str], console: Console, grows: bool) -> Seen:
    """`own`: what the driver alone must have. `grows`: the study may wait for nodes (`search.placement.slots`)."""
    if address is None:
        found = local_resources()
        words = f"one of its own is started, {ray.__version__}: {_counted(found)}"
        return Seen(Check("Ray", "ok", words), look(replace(wanted, shared=own | wanted.shared)))
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
    if not resources.get("CPU"):
        advice = "start nodes with CPUs: no trial can run; for a cluster that grows by itself set resources.concurrent"
        return Seen(Check("Ray", "warning" if grows else "failed", words, advice), driver, nodes)
    return Seen(Check("Ray", "ok", words), driver, nodes)


def _counted(found: dict[str, int] | dict[str, float]) -> str:
    return f"{found['CPU']:g} CPUs, {found['GPU']:g} GPUs"


def _silent_nodes(nodes: tuple[Node, ...]) -> list[Check]:
    """Nodes that could not be looked at."""
    silent = [f"{node.address}: {node.trouble}" for node in nodes if node.found is None]
    return [Check("nodes", "failed", some(silent), INSTALL)] if silent else []


def _data(spec: StudySpec, study: StudyFolder, measuring: Measuring, folders: Folders) -> Check:
    """The study's data: as they were when it was first run, and as they were published."""
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
    """Which data sets lie in the data folder. Their digests are not looked at."""
    if folders.remote is not None:
        return _data_place(folders.remote)
    data = folders.data
    there = []
    for name, (cifar, human) in FETCHABLE.items():
        images = (data / cifar.folder).is_dir() or parquet_files(cifar, data) is not None
        there += [name] if images and (human is None or (data / human.file).is_file()) else []
    tables = len(list(data.glob("*.parquet"))) if data.is_dir() else 0
    there += [f"{tables} Parquet files"] if tables else []
    words = f"{data}: {', '.join(there) or 'none that are brought'}; others come with tosmooth"
    return Check("data", "ok", words)


def _data_place(place: str) -> Check:
    """Whether the place that data are copied from can be read."""
    try:
        files, folder = open_place(place, "--data-dir")
        found = len(files.get_file_info(fs.FileSelector(folder)))
    except TROUBLE as error:
        advice = "check --data-dir, and what its store asks for in the environment"
        return Check("data", "failed", f"{masked(place)}: {first_line(error).replace(place, masked(place))}", advice)
    return Check("data", "ok", f"{masked(place)}: {found} names; each node copies what it reads")
