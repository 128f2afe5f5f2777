"""The parts of a cluster as `docker/compose.yaml` has them, started by the same scripts, on machines of a network."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cluster.network import Machine, second
from tests.conftest import ROOT
from tests.search.tools import session
from tests.tools import free_port, wait_for

DOCKER = ROOT / "docker"
BIN = Path(sys.executable).parent
MODULES = ("psycopg", "flask_wtf")  # the driver of PostgreSQL; what MLflow asks for passwords with
QUICK = {  # a lost node is noticed after five checks, not after a quarter of a minute
    "RAY_health_check_period_ms": "1000",
    "RAY_py_gcs_connect_timeout_s": "5",
}


class Parts:
    """What runs, with the output of each part in a file, and the secrets that none of it may show."""

    def __init__(self, folder: Path, machines: Mapping[str, Machine]) -> None:
        self.folder, self.machines = folder, machines
        self.running: dict[str, subprocess.Popen[str]] = {}
        names = ("TOSMOOTH_DB_PASSWORD", "MLFLOW_DB_PASSWORD", "MLFLOW_TRACKING_PASSWORD", "RAY_AUTH_TOKEN")
        self.secrets = {name: secrets.token_hex(20) for name in (*names, "MLFLOW_FLASK_SERVER_SECRET_KEY")}
        self.ports = {name: free_port() for name in ("postgres", "mlflow", "ray")}
        self.ray_folders: dict[str, Path] = {}

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def head(self) -> str:
        return f"{self.machines['head'].address}:{self.ports['ray']}"

    @property
    def tracking_uri(self) -> str:
        return f"http://{self.machines['mlflow'].address}:{self.ports['mlflow']}"

    @property
    def storage(self) -> str:
        return f"postgresql+psycopg://tosmooth@{self.machines['postgres'].address}:{self.ports['postgres']}/tosmooth"

    def start(self, name: str, script: str, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        """Start a script of `docker/` on a machine, with these settings; a secret is given by its name alone."""
        machine = self.machines[name]
        own = {key: self.secrets.get(key, value) for key, value in settings.items()}
        if script.startswith("ray-") or script == "run.sh":
            own |= {"NODE_IP": machine.address, "RAY_TMPDIR": str(self._ray_folder(name)), **QUICK}
            own["RAY_AUTH_TOKEN"] = self.secrets["RAY_AUTH_TOKEN"]
        command = machine.command(*_user(script), str(DOCKER / script), *arguments)
        self.logs.mkdir(exist_ok=True)
        with (self.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, env=_plain() | own, cwd="/", stdout=log, stderr=log, text=True, start_new_session=True
            )
        self.running[name] = process
        return process

    def start_services(self) -> None:
        """PostgreSQL, which counts statements, and MLflow's server on it."""
        postgres, mlflow = self.machines["postgres"], self.machines["mlflow"]
        data = self.folder / "postgres"
        data.mkdir()
        if os.geteuid() == 0:
            shutil.chown(data, "postgres", "postgres")
        self.start(
            "postgres", "postgres.sh", "-c", "shared_preload_libraries=pg_stat_statements", "-c", "fsync=off",
            PGDATA=str(data / "data"), POSTGRES_PORT=str(self.ports["postgres"]), TOSMOOTH_DB_PASSWORD="",
            MLFLOW_DB_PASSWORD="", POSTGRES_LISTEN="*" if postgres.namespace else postgres.address,
        )  # fmt: skip
        wait_for("PostgreSQL", lambda: self.ready("postgres", PGDATA=str(data / "data")))
        self.sql("postgres", "CREATE EXTENSION pg_stat_statements")
        host = postgres.address if postgres.namespace is None else second(postgres)
        self.start(
            "mlflow", "mlflow.sh", PGHOST=host, PGPORT=str(self.ports["postgres"]), MLFLOW_DB_PASSWORD="",
            MLFLOW_TRACKING_USERNAME="tosmooth", MLFLOW_TRACKING_PASSWORD="", MLFLOW_FLASK_SERVER_SECRET_KEY="",
            MLFLOW_ARTIFACTS=(self.folder / "artifacts").as_uri(), MLFLOW_LISTEN=mlflow.address,
            MLFLOW_PORT=str(self.ports["mlflow"]), MLFLOW_SERVER_ALLOWED_HOSTS=self.tracking_uri.removeprefix("http://"),
        )  # fmt: skip
        wait_for("MLflow", lambda: self.ready("mlflow", NODE_IP=mlflow.address))

    def start_head(self) -> None:
        self.start("head", "ray-head.sh", RAY_PORT=str(self.ports["ray"]), RAY_DASHBOARD="false")
        self._joined("head")

    def start_worker(self, name: str) -> None:
        """A node of three CPUs and three GPUs that it does not have."""
        self.start(name, "ray-worker.sh", RAY_HEAD=self.head, RAY_NUM_CPUS="3", RAY_NUM_GPUS="3")
        self._joined(name)

    def start_study(self, file: Path, home: Path, *options: str) -> subprocess.Popen[str]:
        return self.start(
            "driver", "run.sh", str(file), *options, TOSMOOTH_ADDRESS=self.head, TOSMOOTH_HOME=str(home),
            TOSMOOTH_STORAGE=self.storage, TOSMOOTH_TRACKING_URI=self.tracking_uri, TOSMOOTH_DB_PASSWORD="",
            MLFLOW_TRACKING_USERNAME="tosmooth", MLFLOW_TRACKING_PASSWORD="",
        )  # fmt: skip

    def ready(self, name: str, **settings: str) -> bool:
        """What the health check says of a service; the test fails where the service has ended."""
        assert self.running[name].poll() is None, self.said(name)
        own = {"TOSMOOTH_SERVICE": name, f"{name.upper()}_PORT": str(self.ports[name]), **settings}
        command = self.machines[name].command(*_user(f"{name}.sh"), str(DOCKER / "health.sh"))
        return subprocess.run(command, env=_plain() | own, cwd="/", capture_output=True, check=False).returncode == 0

    def sql(self, database: str, query: str) -> list[str]:
        """The lines that the superuser is answered."""
        where = ["--host", str(self.folder / "postgres" / "data"), "--port", str(self.ports["postgres"])]
        command = [*_user("postgres.sh"), "psql", "--no-psqlrc", "--tuples-only", "--no-align", *where, database, "-c"]
        return subprocess.run([*command, query], check=True, capture_output=True, text=True, cwd="/").stdout.split("\n")

    def dump(self, database: str) -> str:
        """All that a database holds, as text."""
        where = ["--host", str(self.folder / "postgres" / "data"), "--port", str(self.ports["postgres"])]
        command = [*_user("postgres.sh"), "pg_dump", *where, database]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd="/").stdout

    def lose(self, name: str) -> None:
        """Kill a node with all that runs on it, raylet first, as when its machine goes away."""
        process = self.running.pop(name)
        found = session(process)
        for pid in sorted(found, key=lambda pid: "/raylet/raylet" not in found[pid]):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """End all that runs, the database last and orderly."""
        for name in [name for name in self.running if name != "postgres"]:
            self.lose(name)
        if (postgres := self.running.pop("postgres", None)) is not None:
            postgres.send_signal(signal.SIGINT)  # its fast way to stop
            postgres.wait()
        for folder in self.ray_folders.values():
            shutil.rmtree(folder, ignore_errors=True)

    def said(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def _joined(self, name: str) -> None:
        def there() -> bool:
            assert self.running[name].poll() is None, self.said(name)
            return "Ray runtime started" in self.said(name)

        wait_for(f"node {name}", there)

    def _ray_folder(self, name: str) -> Path:
        folder = self.ray_folders.setdefault(name, self.folder / name)
        folder.mkdir(exist_ok=True)
        return folder


def _plain() -> dict[str, str]:
    """The environment of a part: nothing of ours but where programs are, and what the tests set for all."""
    ours = ("PYTHONPATH", "HOME", "LANG", "OMP_NUM_THREADS", "MLFLOW_DISABLE_TELEMETRY", "MPLBACKEND")
    kept = {name: os.environ[name] for name in ours if name in os.environ}
    return kept | {"PATH": f"{BIN}:{os.environ['PATH']}"}


def _user(script: str) -> list[str]:
    """PostgreSQL refuses to run as root."""
    if script != "postgres.sh" or os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


def require_parts() -> None:
    """Skip where PostgreSQL or a package of the extra `cluster` is not installed."""
    for module in MODULES:
        pytest.importorskip(module, reason="the extra `cluster` is not installed")
    if not any(Path("/usr/lib/postgresql").glob("*/bin/initdb")) and shutil.which("initdb") is None:
        pytest.skip("PostgreSQL is not installed")
