"""The scripts of `docker/`, run as they are, without Docker. `tests/cluster` runs those that start services."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.docker.files import DOCKER, example, instructions
from tests.tools import free_port

BIN = Path(sys.executable).parent
SERVICES = {  # what each needs besides its secrets
    "postgres.sh": {"PGDATA": "/nowhere"},
    "mlflow.sh": {"PGHOST": "127.0.0.1"},
    "ray-head.sh": {},
    "ray-worker.sh": {"RAY_HEAD": "127.0.0.1:1"},
    "run.sh": {"TOSMOOTH_ADDRESS": "127.0.0.1:1"},
}


def call(
    settings: Mapping[str, str], script: str, *arguments: str, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run a script with these settings and no others."""
    path = {"PATH": f"{BIN}:{os.environ['PATH']}"}
    command = [str(DOCKER / script), *arguments]
    return subprocess.run(command, env=path | dict(settings), cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", SERVICES)
def test_service_refuses_the_secrets_of_the_example(script: str) -> None:
    done = call(example() | SERVICES[script], script, "twonorm")
    assert done.returncode == 2
    assert "is the example's: make one of your own" in done.stderr


@pytest.mark.parametrize("script", SERVICES)
def test_service_refuses_to_start_without_its_secrets(script: str) -> None:
    rest = {name: value for name, value in example().items() if not value.startswith("change-me")}
    done = call(rest | SERVICES[script], script, "twonorm")
    assert done.returncode == 2
    assert "is not set; docker/README.md says what it is" in done.stderr


def test_short_secret_is_refused_and_not_shown() -> None:
    done = call({"RAY_AUTH_TOKEN": "12345678901"}, "ray-head.sh")
    assert done.returncode == 2
    assert done.stderr == "ray-head.sh: RAY_AUTH_TOKEN is refused: 12 characters or more\n"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="macOS binds no process to cores")
def test_worker_offers_the_cores_it_may_use(tmp_path: Path) -> None:
    """The options that `ray start` is called with, where another `ray` prints them."""
    (tmp_path / "ray").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "ray").chmod(0o755)
    settings = example() | SERVICES["ray-worker.sh"] | {"RAY_AUTH_TOKEN": "x" * 12}
    one = {min(os.sched_getaffinity(0))}
    path = {"PATH": f"{tmp_path}:{BIN}:{os.environ['PATH']}"}
    for given, cores in (("", "1"), ("3", "3")):
        environment = settings | path | {"RAY_NUM_CPUS": given}
        done = subprocess.run(
            [str(DOCKER / "ray-worker.sh")],
            env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, one),
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"--num-cpus {cores}" in done.stdout


def test_folders_of_the_image_are_made(tmp_path: Path) -> None:
    assert call({"ROOT": str(tmp_path)}, "account.sh").returncode == 0
    settings = dict(pair.split("=", 1) for word, rest in instructions() if word == "ENV" for pair in rest.split())
    named = [value for name, value in settings.items() if name.startswith("TOSMOOTH_")]
    assert len(named) == 3
    for folder in (*named, "/srv/tosmooth/artifacts", "/srv/tosmooth/studies"):
        assert (tmp_path / folder.lstrip("/")).is_dir()
    said = subprocess.run(
        ["bash", "-c", f". {tmp_path}/etc/profile.d/tosmooth.sh; echo $PATH"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert said.stdout.startswith("/opt/tosmooth/venv/bin:")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_image_is_installed_in_a_clean_folder_by_the_steps_of_the_dockerfile(tmp_path: Path) -> None:
    """What the Dockerfile copies, in its order, and its steps: downloads of gigabytes, unless they are cached."""
    source, venv = tmp_path / "source", tmp_path / "venv"
    build = [(word, rest.split()) for word, rest in instructions()]
    build = build[: [word for word, _ in build].index("FROM", 1 + [word for word, _ in build].index("FROM"))]
    cache = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "PIP_", "SSL_", "HOME"))}
    for word, parts in build:
        if word == "COPY":
            *files, to = parts
            for file in files:
                target = source / to / Path(file).name if to.endswith("/") else source / to
                target.parent.mkdir(parents=True, exist_ok=True)
                subprocess.run(["cp", "-r", str(ROOT / file), str(target)], check=True)
        elif word == "RUN":
            environment = {"PATH": os.environ["PATH"], "VENV": str(venv), "PYTHON": sys.executable, "DEVICE": "cpu"}
            done = subprocess.run(
                parts, env=cache | environment, cwd=source, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
    # Another folder, so that nothing but what was installed can be found.
    said = subprocess.run(
        [str(venv / "bin" / "tosmooth"), "studies"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert "twonorm: " in said.stdout
    trial = ["-m", "tosmooth.trainables", "--dataset", "twonorm", "--noise", "symmetric-0.4", "--epochs", "1"]
    subprocess.run([str(venv / "bin" / "python"), *trial], cwd=tmp_path, check=True, capture_output=True)
    assert list((venv / "lib").glob("python3.*/site-packages/triton")) == []  # which a CPU has no use for
    there = subprocess.run(
        [str(venv / "bin" / "python"), "-c", "import tosmooth; print(tosmooth.__file__)"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert there.stdout.startswith(str(venv))


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="Elsewhere 127.0.0.1 is the only loopback address.")
def test_slurm_script_runs_a_study_on_one_node_and_leaves_nothing(tmp_path: Path) -> None:
    """Without srun all of it runs here, as on an allocation of one node."""
    from tests.search.tools import TINY  # loads Ray and MLflow, which no quick test here needs

    study = yaml.safe_load(TINY) | {"search": {"trials": 2}, "resources": {"gpus": 0.5, "concurrent": 1}}
    study["dataset"]["noise"] = ["symmetric-0.4"]
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    home = tmp_path / "home"
    home.mkdir()
    settings = {"TOSMOOTH_HOME": str(home), "TOSMOOTH_BIN": str(BIN), "TOSMOOTH_SOURCE": str(ROOT)}
    settings |= {"NODE_IP": "127.0.0.2", "RAY_PORT": str(free_port()), "RAY_NUM_CPUS": "1", "RAY_NUM_GPUS": "1"}
    settings |= {name: os.environ[name] for name in ("HOME", "PYTHONPATH") if name in os.environ}
    done = call(settings, "slurm/tosmooth.sbatch", "tiny.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "best smoothing rate, twonorm" in done.stdout
    assert list(home.glob(".ray-token*")) == []
    with pytest.raises(OSError, match="refused"):  # Ray's head has gone
        socket.create_connection(("127.0.0.2", int(settings["RAY_PORT"])), timeout=5)
