"""Lease on a study whose record is in a database: one driver at a time, from whichever home or machine.

The lock of a home keeps out who uses the same home. A copy of a home has a lock of its own, and the same record.
"""

import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from optuna.storages import RDBStorage

from tosmooth.search.storage.retrying_database import ENGINE, let_go_of_standbys, patiently
from tosmooth.trainables.errors import InputError

log = logging.getLogger(__name__)

LEASE = "driver"  # attribute of an Optuna study: its driver's id and place, and how often it has shown itself
BEAT = 10.0  # seconds between two signs of life
DEAD = 45.0  # seconds without one after which a driver counts as dead: no clocks are compared
SETTLED = 1.0  # seconds after which it shows which of two that begin at once wrote last
FAREWELL = 3.0  # seconds that the database has to take the lease back
AGAIN = 20.0  # seconds after which a driver that lost its lease is told again: what Ctrl-C raises may be swallowed
OWN: set[str] = set()  # ids of all leases that this process has had


@contextmanager
def lease(url: str, study: str) -> Iterator[None]:
    """Hold the lease that the Optuna study `study` carries for as long as the context lasts.

    Raises `InputError` where another driver holds it, and where one took it: this process did not show itself in time.
    """
    held = _Lease(url, study)
    held.take()
    try:
        yield
    except KeyboardInterrupt:
        if held.lost:
            raise InputError(f"storage: {held.lost}: this run is over, and that one goes on") from None
        raise
    finally:
        held.give_back()


class _Lease:
    """Lease of this process, kept alive by a thread with a connection of its own."""

    def __init__(self, url: str, study: str) -> None:
        self._storage = patiently(lambda: RDBStorage(url, engine_kwargs=ENGINE, skip_table_creation=True))
        let_go_of_standbys(self._storage)
        self._study = patiently(lambda: self._storage.get_study_id_from_name(study))
        self._id = uuid.uuid4().hex
        self._host, self._pid, self._since = socket.gethostname(), os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S")
        self._space = _space()
        OWN.add(self._id)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self.lost = ""  # who took it

    def take(self) -> None:
        """Take the lease. Raises `InputError` where its holder lives, which takes up to `DEAD` seconds to find out."""
        self._wait_for_the_end_of(patiently(self._read))
        patiently(lambda: self._write(0))
        time.sleep(SETTLED)
        if (found := patiently(self._read)).get("id") != self._id:
            raise InputError(_refusal(found))
        self._thread.start()

    def give_back(self) -> None:
        """Let go of it, if the database takes that in time; otherwise it ends by itself."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join(FAREWELL)

    def _wait_for_the_end_of(self, holder: dict[str, Any]) -> None:
        if not holder or self._is_dead(holder):
            return
        log.warning("study: %s; waiting up to %g s to see whether it lives", _words(holder), DEAD)
        deadline = time.monotonic() + DEAD
        while time.monotonic() < deadline:
            time.sleep(0.5)
            if (now := patiently(self._read)) != holder:
                if not now:
                    return
                raise InputError(_refusal(now))

    def _is_dead(self, holder: dict[str, Any]) -> bool:
        """True if the holder was a process of this machine that is gone, or an earlier run of this process."""
        if holder["id"] in OWN:
            return True
        if not self._space or (holder["host"], holder.get("space")) != (self._host, self._space):
            return False  # the number means another process there
        try:
            os.kill(holder["pid"], 0)
        except ProcessLookupError:
            return True
        except OSError:  # another user's
            pass
        return False

    def _keep(self) -> None:
        """Show a sign of life from time to time, until the end or until another driver took over."""
        beats = 0
        while not self._over.wait(BEAT):
            try:
                found = self._read()
                if found.get("id") != self._id and not self._over.is_set():
                    self.lost = _words(found) or "its lease is gone"
                    os.kill(self._pid, signal.SIGINT)  # the driver stops as for Ctrl-C: what ended is kept
                    while not self._over.wait(AGAIN):  # Python drops what is raised in a finalizer or a callback
                        os.kill(self._pid, signal.SIGINT)
                    return
                beats += 1
                self._write(beats)
            except Exception as error:  # it is away: Optuna's own calls wait for it, and say so
                log.debug("lease: %s", type(error).__name__)
        try:
            if self._read().get("id") == self._id:  # else another driver has it by now
                self._storage.set_study_user_attr(self._study, LEASE, {})
        except Exception as error:
            log.debug("lease: %s", type(error).__name__)

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = self._storage.get_study_user_attrs(self._study).get(LEASE) or {}
        return found

    def _write(self, beats: int) -> None:
        value = {"id": self._id, "host": self._host, "space": self._space, "pid": self._pid, "since": self._since}
        value["beats"] = beats
        self._storage.set_study_user_attr(self._study, LEASE, value)


def _space() -> str:
    """Name in which a process's number means one process: containers of one host name have numbers of their own."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 - a link to no path
    return ""


def _words(holder: dict[str, Any]) -> str:
    return f"its driver is process {holder['pid']} on {holder['host']} since {holder['since']}" if holder else ""


def _refusal(holder: dict[str, Any]) -> str:
    return f"study is running already: {_words(holder) or 'another driver began'}; wait for it, or take a --name"
