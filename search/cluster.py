"""Ray: started here, closed to others, or joined where it runs."""

import logging
import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import ray
from ray._private import accelerators, ray_constants, worker
from ray._private.node import Node
from ray._private.utils import get_num_cpus
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined] # its stub lacks them
from ray.exceptions import AuthenticationError
from rich.console import Console

from search.services import listening
from trainables.config import InputError

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


@contextmanager
def cluster(address: str | None, console: Console) -> Iterator[None]:
    """Ray, started here or joined at `address`, for as long as the context lasts."""
    os.environ |= RAY_SETTINGS
    if address is not None:
        _check_reachable(address)
        os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")  # one try of half a minute, not twenty
    local = False if address is None else None  # a dashboard is another server to guard; a cluster has its own
    terminate = signal.getsignal(signal.SIGTERM)
    with _closed_to_others() if address is None else nullcontext(), _silent():
        try:
            # What goes wrong with a trial comes back as its result: Ray's own words about it would break the display.
            with console.status("Starting Ray"):
                ray.init(
                    address=address or "local",
                    include_dashboard=local,
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                )
        except AuthenticationError:
            rule = "RAY_AUTH_MODE asks for a token, and RAY_AUTH_TOKEN_PATH names no file with one"
            raise _refusal(address, rule) from None
        except (ConnectionError, RuntimeError, ValueError) as error:
            words = " ".join(str(error).partition("Traceback")[0].split())
            rule = "no Ray cluster answers there, or it asks for a token (RAY_AUTH_MODE=token, RAY_AUTH_TOKEN_PATH)"
            raise _refusal(address, words if address is None else f"{rule}: {words}") from error
        except SystemExit:  # Ray's answer to SIGTERM
            raise KeyboardInterrupt from None
        signal.signal(signal.SIGTERM, terminate)  # it has put its own handler in the place of ours
        try:
            yield
        finally:
            try:
                ray.shutdown()
            except KeyboardInterrupt:  # the rest of it would fail at the interpreter's end, without this run's token
                ray.shutdown()
                raise
            finally:
                signal.signal(signal.SIGTERM, terminate)  # Ray leaves none; the table can be stopped, too


@contextmanager
def _closed_to_others() -> Iterator[None]:
    """A Ray that is started here listens on loopback alone, answers whoever has this run's token, and calls no one.

    Its servers run any code that they are sent. By itself Ray has them listen on all interfaces, and keeps one token
    for all time in a file that others may be able to read. On macOS it has a cluster of one machine stay on loopback;
    the same switch does it everywhere, and spares the look for this machine's address by way of a public one. The
    token is in the environment of our own processes, nowhere else. With the dashboard off, what is left of its server
    asks the services of three clouds where it runs, and does nothing else.
    """
    ours = {ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0"}  # for its other processes
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


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what Ray has to say about its other processes, when they die or are ended, out of standard output.

    `log_to_driver` keeps out what trials print, not this. Pages of a raylet's log would stand before the table.
    """
    before = worker.print_to_stdstream
    try:
        worker.print_to_stdstream = _no_words
        yield
    finally:
        worker.print_to_stdstream = before


def _no_words(data: dict[str, Any], ignore_prefix: bool) -> None:
    """In the place of `print_to_stdstream`."""


def _no_server(node: Node, *, include_dashboard: bool | None, raise_on_failure: bool) -> None:
    """In the place of `Node.start_api_server`."""


def _read_authentication_anew() -> None:
    """Ray reads the environment once, when it is imported, and keeps the token that it found."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def _refusal(address: str | None, why: str) -> InputError:
    if address is None:
        return InputError(f"Ray cannot be started here: {why}")
    return InputError(f"--address: {address!r} is refused: {why}")


def _check_reachable(address: str) -> None:
    """Raise `InputError` where nothing listens: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():  # "auto": Ray looks for a cluster on this machine, which is quick
        return
    if (why := listening(host.strip("[]"), int(port))) is not None:
        raise _refusal(address, f"no Ray cluster answers there ({why})")


def local_resources() -> dict[str, int]:
    """Cores and GPUs that a Ray started here would find; none is started."""
    found, gpus = {"CPU": int(get_num_cpus()), "GPU": 0}, accelerators.get_accelerator_manager_for_resource("GPU")
    if gpus is not None:
        visible = gpus.get_current_process_visible_accelerator_ids()
        there = gpus.get_current_node_num_accelerators()
        found["GPU"] = there if visible is None else min(there, len(visible))
    return found
