"""Ray: started here, closed to others, or joined where it runs."""

import logging
import os
import secrets
import signal
import site
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import ray
from ray._private import accelerators, ray_constants, worker
from ray._private.node import Node
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined] # its stub lacks them
from ray.exceptions import AuthenticationError
from ray.job_config import JobConfig
from rich.console import Console

from tosmooth.search.preflight.limits import usable_cores
from tosmooth.search.preflight.reachability import listening
from tosmooth.search.run.ray_watch import watched
from tosmooth.search.run.resources import ACCELERATOR
from tosmooth.search.run.session_folder import remove, session_folder
from tosmooth.trainables.errors import InputError

# Read by Ray when it starts: no log files, no snapshots of Tune's own state (the record is Optuna's storage and the
# history), no metadata sent anywhere. Ctrl-C is a KeyboardInterrupt: Tune would first wait for every trial's epoch.
RAY_SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": str(10**9),
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
# Environment of a cluster's jobs: what they bring along, and the namespace of their actors.
FOR_JOBS = ("RAY_RUNTIME_ENV_HOOK", "RAY_JOB_CONFIG_JSON_ENV_VAR")


@contextmanager
def cluster(address: str | None, console: Console) -> Iterator[None]:
    """Start a Ray, or join that at `address`, for as long as the context lasts."""
    os.environ |= RAY_SETTINGS
    if address is not None:
        _check_reachable(address)
        os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")  # one try of half a minute, not twenty
    local = False if address is None else None  # a dashboard is another server to guard; a cluster has its own
    terminate = signal.getsignal(signal.SIGTERM)
    with _own(address) as own, _taking_nothing_along(address), _silent():
        try:
            # What goes wrong with a trial comes back as its result: Ray's own words about it would break the display.
            with console.status("Starting Ray"):
                ray.init(
                    address=address or "local",
                    job_config=_job(address),  # type: ignore[arg-type] # its own default is None
                    include_dashboard=local,
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                    **own,
                )
        except AuthenticationError:
            rule = "RAY_AUTH_MODE asks for a token, and RAY_AUTH_TOKEN_PATH names no file with one"
            raise _refusal(address, rule) from None
        except Exception as error:  # Ray raises a bare one where its processes are not up within its time
            words = " ".join(str(error).partition("Traceback")[0].split()) or type(error).__name__
            rule = "no Ray cluster answers there, or it asks for a token (RAY_AUTH_MODE=token, RAY_AUTH_TOKEN_PATH)"
            raise _refusal(address, words if address is None else f"{rule}: {words}") from error
        except SystemExit:  # Ray's answer to SIGTERM
            raise KeyboardInterrupt from None
        signal.signal(signal.SIGTERM, terminate)  # it has put its own handler in the place of ours

        def shutdown() -> None:
            try:
                ray.shutdown()
            except KeyboardInterrupt:  # the rest of it would fail at the interpreter's end, without this run's token
                ray.shutdown()
                raise
            finally:
                signal.signal(signal.SIGTERM, terminate)  # Ray leaves none; the table can be stopped, too
                if address is None:
                    remove(Path(own["_temp_dir"]))

        with ExitStack() as until:
            if address is None:
                until.enter_context(watched(shutdown))
            else:
                until.callback(shutdown)
            yield


@contextmanager
def _own(address: str | None) -> Iterator[dict[str, Any]]:
    """Settings of a Ray that is started here: closed to others, in a folder of its own, on the cores it may use."""
    if address is not None:
        yield {}
        return
    with session_folder() as folder, _closed_to_others():
        found = local_resources()
        yield {"_temp_dir": str(folder), "num_cpus": found["CPU"], "num_gpus": found["GPU"]}


@contextmanager
def _closed_to_others() -> Iterator[None]:
    """Have a Ray that is started here listen on loopback alone, answer this run's token, and call no one.

    Its servers run any code that they are sent. By itself Ray has them listen on all interfaces, and keeps one token
    for all time in a file that others may be able to read. On macOS it has a cluster of one machine stay on loopback;
    the same switch does it everywhere, and spares the look for this machine's address by way of a public one. The
    token is in the environment of our own processes, nowhere else. With the dashboard off, what is left of its server
    asks the services of three clouds where it runs, and does nothing else.
    """
    ours = {  # for its other processes
        ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0",
        "PYTHONSAFEPATH": "1",  # `python -c` and `python -m`, as libraries start them: not from where the user is
    }
    if "RAY_AUTH_MODE" not in os.environ:  # else someone has settled it
        ours |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    before = {name: os.environ.get(name) for name in ours}
    reaches_out, starts_server = ray_constants.ENABLE_RAY_CLUSTER, Node.start_api_server
    try:
        ray_constants.ENABLE_RAY_CLUSTER = False
        Node.start_api_server = _no_server  # type: ignore[assignment, method-assign]
        os.environ |= ours
        _read_authentication_anew()
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = reaches_out
        Node.start_api_server = starts_server  # type: ignore[method-assign]
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _read_authentication_anew()


def _job(address: str | None) -> JobConfig | None:
    """Settings that tell Ray's workers where to import from; None for a client, whose driver is the cluster's own.

    By itself Ray has workers search two folders before all others: the one that the user is in, and the script's. A
    `search.py` or `select.py` of the user's there would be imported in place of the real one. Here workers import
    tosmooth from where this process did: from the installed packages, or from a checkout that is not installed.
    """
    if address is not None and "://" in address:
        return None
    root = Path(str(files("tosmooth"))).parent
    installed = {*map(sysconfig.get_path, ("purelib", "platlib")), *site.getsitepackages(), site.getusersitepackages()}
    job = JobConfig()
    job._py_driver_sys_path = _Folders([] if str(root) in installed else [str(root)])
    return job


class _Folders(list[str]):
    """List of folders to which Ray can add none."""

    def extend(self, folders: Iterable[str]) -> None:
        """Ignore the two folders with which `ray.init` calls this."""


@contextmanager
def _taking_nothing_along(address: str | None) -> Iterator[None]:
    """Keep Ray from copying the user's folder to its workers under `uv run`, unless the environment asks for it.

    A Ray that is started here copies nothing at all: what is set for the jobs of a cluster is not for it.
    """
    name = "RAY_ENABLE_UV_RUN_RUNTIME_ENV"  # read when Ray is imported; on by default
    copies = ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV
    jobs = {} if address is not None else {key: os.environ.pop(key) for key in FOR_JOBS if key in os.environ}
    try:
        ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV = copies and address is not None and name in os.environ
        yield
    finally:
        ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV = copies
        os.environ |= jobs


@contextmanager
def _silent() -> Iterator[None]:
    """Keep out of standard output what Ray says when one of its other processes dies or is ended.

    `log_to_driver` keeps out what trials print, not this: pages of a raylet's log would stand before the table.
    """
    before = worker.print_to_stdstream
    try:
        worker.print_to_stdstream = _no_words
        yield
    finally:
        worker.print_to_stdstream = before


def _no_words(data: dict[str, Any], ignore_prefix: bool) -> None:
    """Stand-in for `print_to_stdstream` that prints nothing."""


def _no_server(node: Node, *, include_dashboard: bool | None, raise_on_failure: bool) -> None:
    """Stand-in for `Node.start_api_server` that starts nothing."""


def _read_authentication_anew() -> None:
    """Have Ray read its token again: it reads the environment once, when it is imported."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def _refusal(address: str | None, why: str) -> InputError:
    if address is None:
        advice = "the same command goes on; on a machine that is busy, once it is less so"
        return InputError(f"Ray cannot be started here: {why.rstrip('.')}; {advice}")
    return InputError(f"--address: {address!r} is refused: {why}")


def _check_reachable(address: str) -> None:
    """Raise `InputError` where nothing listens: Ray itself would try for minutes."""
    if address.startswith(("http://", "https://")):  # as RAY_ADDRESS may be, for `ray job`
        rule = "there a cluster takes jobs (`tosmooth submit`); one to join is host:port, ray://host:port or auto"
        raise _refusal(address, f"{rule}; local joins none")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():  # "auto": Ray looks for a cluster on this machine, which is quick
        return
    if (why := listening(host.strip("[]"), int(port))) is not None:
        raise _refusal(address, f"no Ray cluster answers there ({why})")


def resources_of_nodes() -> list[dict[str, float]]:
    """Resources of each node of the Ray that was started or joined."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def local_resources() -> dict[str, float]:
    """Cores, GPUs and their type that a Ray started here would find; none is started."""
    found: dict[str, float] = {"CPU": usable_cores(), "GPU": 0}
    if (gpus := accelerators.get_accelerator_manager_for_resource("GPU")) is not None:
        visible = gpus.get_current_process_visible_accelerator_ids()
        there = gpus.get_current_node_num_accelerators()
        if visible is not None and "-1" in visible:  # CUDA looks no further; Ray counts it
            visible = visible[: visible.index("-1")]
        found["GPU"] = there if visible is None else min(there, len(visible))
        if found["GPU"] and (kind := gpus.get_current_node_accelerator_type()) is not None:
            found[ACCELERATOR + kind] = 1
    return found
