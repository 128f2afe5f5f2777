"""The wheel and the source distribution, built by the lock's backend without a network, and what is in them."""

import configparser
import io
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from tests.conftest import ROOT

PACKAGES = ("search", "trainables", "studies")
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


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_brings_one_name_and_every_file_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = archive.infolist()
    brought = {each.filename for each in files if ".dist-info/" not in each.filename}
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
        *("tosmooth", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"),
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
