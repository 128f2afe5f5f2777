"""What must hold of the repository as files: a lock that installs everywhere, and no registry's address anywhere."""

import os
import re
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

LOCK = ROOT / "requirements.lock"
# Joined here, so that this file does not name them itself.
REGISTRIES = [".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("registry", "npmjs"))]
REGISTRIES += [".".join(parts) for parts in (("deb", "debian", "org"), ("proxy", "golang"), ("download", "pytorch"))]
PLATFORMS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
    "macos": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix", "platform_machine": "arm64"},
    "windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"},
}


def pins() -> list[tuple[Requirement, int]]:
    """Every requirement of the lock with the number of its hashes."""
    entries = re.findall(r"^([A-Za-z0-9].*?) \\\n((?:    --hash=sha256:.*\n)*)", LOCK.read_text(encoding="utf-8"), re.M)
    return [(Requirement(requirement), hashes.count("--hash")) for requirement, hashes in entries]


def direct_dependencies() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [Requirement(text) for text in [*project["dependencies"], *extras["dev"], *extras["docs"]]]
    return [each for each in wanted if each.name != "tosmooth"]  # its own extras


def test_every_pin_of_the_lock_is_exact_and_hashed() -> None:
    lines = [line for line in LOCK.read_text(encoding="utf-8").splitlines() if re.match(r"[^\s#]", line)]
    assert len(lines) == len(pins())  # the pattern above reads every one
    loose = [str(pin) for pin, hashes in pins() if not hashes or not str(pin.specifier).startswith("==")]
    assert loose == []


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_direct_dependency_is_pinned_once_in_its_range(platform: str, python: str) -> None:
    environment = PLATFORMS[platform] | {"python_version": python, "python_full_version": f"{python}.0"}
    here = [pin for pin, _ in pins() if pin.marker is None or pin.marker.evaluate(environment)]
    for wanted in direct_dependencies():
        found = [pin for pin in here if canonicalize_name(pin.name) == canonicalize_name(wanted.name)]
        assert len(found) == 1, f"{wanted.name}: pinned {len(found)} times in requirements.lock"
        (specifier,) = found[0].specifier
        assert wanted.specifier.contains(specifier.version, prereleases=True), f"{found[0]} is not in {wanted}"


def test_lock_names_no_address() -> None:
    assert "://" not in LOCK.read_text(encoding="utf-8")


def test_no_file_names_a_registry() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("This is no git checkout, so which files belong to the repository is not known.")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    assert LOCK in paths
    contents = {path.relative_to(ROOT): path.read_bytes() for path in paths}
    named = [f"{path} names {host}" for path, text in contents.items() for host in REGISTRIES if host.encode() in text]
    assert named == []


@pytest.mark.ray
@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all tests")
def test_what_starts_ray_is_one_group_of_tests(request: pytest.FixtureRequest) -> None:
    assert request.node.nodeid.endswith("@ray"), "pytest-xdist lost the group: side by side they starve each other"
