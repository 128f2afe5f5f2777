"""The wheel and the source distribution, built by the lock's backend without a network, and what is in them.

Marked slow: the wheel in an environment of its own, with all it needs, which pip's registry or uv's cache brings.
"""

import configparser
import email
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT
from tests.search.tools import TINY

PACKAGES = ("search", "trainables", "studies")
PYTHONS = ("3.11", "3.12", "3.13")
UV = str(Path(sys.executable).with_name("uv"))
LOCKED = ("--constraint", str(ROOT / "requirements.lock"))
LINK = 0o120000  # of a file's mode: a symbolic link


def build(target: str, project: Path, folder: Path) -> Path:
    """Build one of `wheel` and `sdist`; returns its file."""
    command = [sys.executable, "-P", "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (file,) = folder.iterdir()
    return file


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)  # noqa: S202 - our own
    return folder


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


def tracked() -> set[str]:
    """The files of the packages that git knows, those still to be added included, as the wheel names them."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "tosmooth", *PACKAGES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [PurePosixPath(line) for line in done.stdout.splitlines()]
    there = [path for path in paths if not (ROOT / path).is_symlink() and (ROOT / path).exists()]
    return {str(path if path.parts[0] == "tosmooth" else "tosmooth" / path) for path in there}


@pytest.fixture(scope="module")
def metadata(installed: Path) -> Message:
    """What a package index shows of the wheel."""
    (info,) = installed.glob("*.dist-info")
    return email.message_from_string((info / "METADATA").read_text(encoding="utf-8"))


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_brings_one_name_and_every_file_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = archive.infolist()
    brought = {each.filename for each in files if not re.match(r"[^/]*\.(dist-info|data)/", each.filename)}
    assert {PurePosixPath(name).parts[0] for name in brought} == {"tosmooth"}
    assert brought == tracked()
    assert {"tosmooth/__init__.py", "tosmooth/py.typed", "tosmooth/studies/twonorm.yaml"} <= brought
    assert [each.filename for each in files if each.external_attr >> 16 & LINK == LINK] == []


def test_no_file_imports_a_package_by_the_name_that_it_has_in_a_checkout_alone() -> None:
    """`import search` works here, where the folder lies beside `tosmooth`; elsewhere it is a module of the user's."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [ROOT / name for name in listed.splitlines() if (ROOT / name).exists()]
    bare = re.compile(rf"""(?:^|[;"'])\s*(?:import|from) (?:{"|".join(PACKAGES)})\b""", re.M)  # in code for `-c`, too
    found = {str(file): match[0] for file in files if (match := bare.search(file.read_text(encoding="utf-8")))}
    assert found == {}


def test_the_source_distribution_holds_real_files_and_builds_the_same_wheel(
    sdist: Path, wheel: Path, tmp_path: Path
) -> None:
    with tarfile.open(sdist) as archive:
        assert all(member.isfile() or member.isdir() for member in archive)
        archive.extractall(tmp_path, filter="data")
    (project,) = tmp_path.iterdir()
    assert {path.name for path in project.iterdir()} == {
        *("tosmooth", "docs", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"),
        *(".gitignore", "PKG-INFO"),  # added by the backend
    }
    again = build("wheel", project, tmp_path / "again")
    assert contents(again) == contents(wheel)


def test_what_is_installed_lists_and_describes_its_studies_from_anywhere(installed: Path, tmp_path: Path) -> None:
    (info,) = installed.glob("*.dist-info")
    scripts = configparser.ConfigParser()
    scripts.read_file(io.StringIO((info / "entry_points.txt").read_text(encoding="utf-8")))
    assert dict(scripts["console_scripts"]) == {"tosmooth": "tosmooth.search.cli.main:main"}
    module, _, function = scripts["console_scripts"]["tosmooth"].partition(":")
    code = f"import {module}, sys; print({module}.__file__, file=sys.stderr); sys.exit({module}.{function}())"

    def call(*arguments: str) -> str:
        command = [sys.executable, "-P", "-c", code, *arguments]
        environment = {**os.environ, "PYTHONPATH": str(installed)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith(str(installed))
        return done.stdout

    shipped = {path.stem for path in (ROOT / "studies").glob("*.yaml")}
    assert {line.partition(":")[0] for line in call("studies").splitlines()} == shipped
    assert "twonorm" in call("describe", "twonorm", "--home", "home")


def test_the_wheel_brings_the_man_page(wheel: Path) -> None:
    data = {name: content for name, content in contents(wheel).items() if ".data/" in name}
    ((name, content),) = data.items()
    assert name.endswith(".data/data/share/man/man1/tosmooth.1")
    assert content == (ROOT / "docs" / "man" / "tosmooth.1").read_bytes()


def test_what_is_built_may_be_published_and_its_description_renders(wheel: Path, sdist: Path) -> None:
    command = [sys.executable, "-P", "-m", "twine", "check", "--strict", str(wheel), str(sdist)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("PASSED")) == (0, 2), done.stdout


def test_an_index_is_told_what_the_project_file_says(metadata: Message) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (metadata["Name"], metadata["Version"]) == ("tosmooth", project["version"])
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_all("Provides-Extra") == sorted(project["optional-dependencies"])
    pythons = [line.rpartition(" ")[2] for line in metadata.get_all("Classifier", ()) if ":: 3." in line]
    assert pythons == list(PYTHONS)
    assert all(python in Requirement(f"python{metadata['Requires-Python']}").specifier for python in PYTHONS)


def test_former_names_of_extras_bring_what_the_new_ones_do(metadata: Message) -> None:
    wanted: dict[str, list[str]] = {}
    for requirement in map(Requirement, metadata.get_all("Requires-Dist", ())):
        extra = re.search(r"extra == '([^']*)'", str(requirement.marker).replace('"', "'"))
        wanted.setdefault(extra[1] if extra else "", []).append(f"{requirement.name}{sorted(requirement.extras)}")
    assert wanted["hub"] == wanted["huggingface"] == ["datasets[]", "huggingface-hub[]"]
    assert wanted["dashboard"] == wanted["optuna-dashboard"] == ["optuna-dashboard[]"]


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
def test_every_python_gets_the_tested_versions_as_wheels(python: str, wheel: Path, tmp_path: Path) -> None:
    command = [UV, "pip", "install", "--dry-run", "--only-binary", ":all:", "--python", sys.executable]
    command += ["--python-version", python, "--target", str(tmp_path), *LOCKED, str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    would = set(re.findall(r"^ \+ ([a-z0-9-]+)[= ]", done.stderr, re.M))
    assert {"tosmooth", "torch", "ray", "optuna", "mlflow-skinny", "typer"} <= would
    assert not {"pytest", "psycopg", "timm"} & would


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1200)  # the first time PyTorch is downloaded
def test_the_wheel_runs_a_study_in_an_environment_of_its_own(wheel: Path, tmp_path: Path) -> None:
    environment, place = tmp_path / "environment", tmp_path / "place"
    place.mkdir()
    (place / "tiny.yaml").write_text(TINY, encoding="utf-8")
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, str(environment)], check=True)
    command = [UV, "pip", "install", "--quiet", "--python", str(environment / "bin" / "python")]
    subprocess.run([*command, *LOCKED, str(wheel)], check=True)
    variables = {**os.environ, "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    for name in ("OMP_NUM_THREADS", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH"):  # of the tests, not of a user
        variables.pop(name, None)

    def call(*arguments: str) -> str:
        done = subprocess.run(
            ["tosmooth", *arguments], cwd=place, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert call("--version") == f"tosmooth {project['version']}\n"
    assert "twonorm: " in call("studies")
    assert [level["classes"] for level in json.loads(call("describe", "twonorm", "--json"))["levels"]] == [2] * 5
    assert call("run", "tiny.yaml", "--home", "home").startswith("best smoothing rate, twonorm")
    assert "tosmooth_completion" in call("--show-completion", "bash")
    code = "import tosmooth as ts, sys; print(ts.load('tiny', home='home').table.shape[0]); print(ts.__file__)"
    done = subprocess.run(["python", "-c", code], cwd=place, env=variables, capture_output=True, text=True, check=True)
    rows, file = done.stdout.split()
    assert rows == "2"
    assert file.startswith(str(environment))
