"""Real servers on 127.0.0.1 for as long as a test lasts, which can be stopped and started in between."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.tools import free_port, wait_for

__all__ = ["PASSWORD", "Postgres", "free_port", "postgres", "wait_for"]

PASSWORD = "correct-horse-battery"  # noqa: S105 - of a server that lives for a test


class Postgres:
    """A PostgreSQL server with a database of its own."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder, self.port = programs, folder, free_port()
        # PostgreSQL refuses to run as root.
        self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        if self.user:
            shutil.chown(folder, "postgres", "postgres")
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._call(
            "initdb", "--pgdata", folder / "data", "--username", "me", "--auth=scram-sha-256", f"--pwfile={secret}"
        )
        secret.unlink()

    @property
    def url(self) -> str:
        return f"postgresql://me:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder} -c fsync=off"
        self._call("pg_ctl", "start", "--wait", "-D", self.folder / "data", "-o", options, "-l", self.folder / "log")

    def stop(self) -> None:
        """Stop it as a power cut would: connections are dropped, what is committed stays."""
        self._call("pg_ctl", "stop", "--wait", "-D", self.folder / "data", "--mode=immediate")

    def _call(self, program: str, *arguments: object) -> None:
        command = [*self.user, str(self.programs / program), *map(str, arguments)]
        # Its own output to a file: a server that was started keeps a pipe open.
        with (self.folder.parent / f"{self.folder.name}.out").open("ab") as out:
            subprocess.run(command, check=True, stdout=out, stderr=out, cwd="/")


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running server; the test is skipped where PostgreSQL or its driver is not installed."""
    pytest.importorskip("psycopg", reason="PostgreSQL's driver, psycopg, is not installed")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found and shutil.which("initdb") is None:
        pytest.skip("PostgreSQL is not installed")
    programs = found[-1].parent if found else Path(str(shutil.which("initdb"))).parent
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # not below pytest's, which its user cannot enter
    server = Postgres(programs, folder)
    server.start()
    try:
        yield server
    finally:
        with_pid = folder / "data" / "postmaster.pid"
        if with_pid.exists():
            server.stop()
        shutil.rmtree(folder)
        Path(f"{folder}.out").unlink(missing_ok=True)
