"""Modules of the user's own beside a study, whose names others have, too: none of our processes runs one of them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.test_nodes import Cluster, cluster
from tests.search.conftest import Finished
from tests.search.run.test_submit import head
from tests.search.tools import TINY, TOSMOOTH, table_of, tosmooth
from tests.tools import TRAPS, set_traps, sprung

pytestmark = pytest.mark.ray

__all__ = ["cluster", "head"]

BIN = Path(sys.executable).parent
RUN_TRAPS = (*TRAPS, "tosmooth.py")  # who imports us in a folder with the last one asks for it, as by any name
DEEP = "import tosmooth.search.run.runner, tosmooth.search.cli.main, tosmooth.trainables.training.trainer"
# Where a notebook's kernel has the folder that it is in: before what is installed, behind Python's own modules.
KERNEL = """
import os, sys
sys.path[:] = [folder for folder in sys.path if folder not in ("", os.getcwd())]
sys.path.insert(next(i for i, folder in enumerate(sys.path) if folder.endswith("-packages")), "")
"""

UV = Path(sys.executable).with_name("uv")
TAKEN = """
import ray
from rich.console import Console
from tosmooth.search.run.ray_cluster import cluster
with cluster(None, Console(quiet=True)):
    print(ray.get_runtime_context().runtime_env)
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder with a study and modules. This process is in it, and so is what it starts."""
    folder = tmp_path / "mine"
    folder.mkdir()
    set_traps(folder)
    (folder / "tiny.yaml").write_text(TINY, encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


def mark_of(mine: Path) -> Path:
    return mine.with_name("mine.run")


@contextmanager
def without_select(mine: Path) -> Iterator[None]:
    """While the nodes of a cluster start in the folder: the command `ray start`, not ours, runs a `select.py` there."""
    (mine / "select.py").unlink()
    yield
    set_traps(mine)


def python(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", ["search", "trainables", "studies", "records", "select", "study"])
def test_a_module_that_is_run_leaves_a_mark(mine: Path, module: str) -> None:
    assert python("-c", f"import {module}", cwd=mine).returncode == 0
    assert sprung(mark_of(mine)) == [f"{module} by ['-c']"]


@pytest.mark.slow
def test_a_study_with_a_ray_of_its_own_runs_none(mine: Path, finished: Finished) -> None:
    done = tosmooth("run", "tiny.yaml", "--home", "home", cwd=mine)
    assert done.returncode == 0, done.stderr
    assert sprung(mark_of(mine)) == []
    assert table_of(mine / "home") == table_of(finished.home)


@pytest.mark.slow
def test_under_uv_the_folder_is_not_copied_to_workers_either(
    mine: Path, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (BIN / "uv").exists():
        pytest.skip("uv is not installed beside this Python")
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("VIRTUAL_ENV", str(BIN.parent))
    command = ["uv", "run", "--no-project", "--offline", str(TOSMOOTH), "run", "tiny.yaml", "--home", "home"]
    done = subprocess.run(command, cwd=mine, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sprung(mark_of(mine)) == []
    assert table_of(mine / "home") == table_of(finished.home)


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="Elsewhere 127.0.0.1 is the only loopback address.")
def test_a_cluster_that_was_joined_runs_none(mine: Path, cluster: Cluster, finished: Finished) -> None:
    with without_select(mine):
        cluster.add(cpus=0)
        cluster.add(cpus=2)
    done = tosmooth("run", "tiny.yaml", "--home", "home", "--address", cluster.address, cwd=mine)
    assert done.returncode == 0, done.stderr
    assert sprung(mark_of(mine)) == []
    assert table_of(mine / "home") == table_of(finished.home)


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_a_job_that_was_handed_in_runs_none(mine: Path, finished: Finished, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("aiohttp_cors", reason="the job server is in ray[default]")
    with without_select(mine):
        head = request.getfixturevalue("head")
    home = mine / "home"
    done = tosmooth("submit", "tiny.yaml", "--address", head, "--home", home, cwd=mine, seconds=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sprung(mark_of(mine)) == []
    assert table_of(home) == table_of(finished.home)


def test_a_script_beside_them_imports_us(mine: Path) -> None:
    """Python itself puts the script's folder before all others: what we import there is the user's, so it is little."""
    (mine / "mine.py").write_text("import tosmooth\nprint(tosmooth.__name__)\n", encoding="utf-8")
    done = python("mine.py", cwd=mine)
    assert (done.stdout, done.stderr) == ("tosmooth\n", "")
    assert sprung(mark_of(mine)) == []


def test_a_script_beside_them_imports_all_of_us_where_none_has_the_name_of_pythons_own(mine: Path) -> None:
    (mine / "select.py").unlink()  # any library that imports Python's `select` would run it
    (mine / "mine.py").write_text(f"{DEEP}\n", encoding="utf-8")
    done = python("mine.py", cwd=mine)
    assert (done.returncode, done.stderr) == (0, "")
    assert sprung(mark_of(mine)) == []


@pytest.mark.parametrize("code", ["import tosmooth", KERNEL + DEEP], ids=["first", "behind Python's own"])
def test_a_notebook_in_the_folder_imports_us(mine: Path, code: str) -> None:
    done = python("-c", code, cwd=mine)
    assert (done.returncode, done.stderr) == (0, "")
    assert sprung(mark_of(mine)) == []


@pytest.mark.skipif(not UV.exists(), reason="uv is what `make` installs with")
@pytest.mark.parametrize("asked", ["0", "1"])
def test_under_uv_run_nothing_of_the_users_folder_is_copied(
    tmp_path: Path, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if asked == "1":  # for the clusters that one joins
        monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", asked)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "0"\n')
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    (folder := tmp_path / "below").mkdir()  # where Ray would refuse to work, and zip it otherwise
    (folder / "data.bin").write_bytes(b"x" * 1000)
    command = [str(UV), "run", "--no-project", "--offline", "python", "-P", "-c", TAKEN]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "{}\n"), done.stderr


def test_what_a_clusters_jobs_bring_along_is_not_taken_into_a_ray_of_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.bin").write_bytes(b"x" * 1000)
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({"runtime_env": {"working_dir": str(tmp_path)}}))
    monkeypatch.setenv("RAY_RUNTIME_ENV_HOOK", "there_is_no.such_module")
    kept = f"import os\n{TAKEN}\nprint(os.environ['RAY_RUNTIME_ENV_HOOK'])"
    done = python("-P", "-c", kept, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "{}\nthere_is_no.such_module\n"), done.stderr
