"""Cores and memory by affinity and by the limits of cgroups, v1 and v2, of a process's own and of those above it."""

import os
import subprocess
import sys
from pathlib import Path

import joblib
import pytest

from tosmooth.search.preflight.limits import usable_cores, usable_memory

GB = 2**30
CORES = "from tosmooth.search.preflight.limits import usable_cores as c; print(c())"


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 64 cores."""
    monkeypatch.setattr(joblib, "cpu_count", lambda: 64)


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def groups(tmp_path: Path, *lines: str) -> tuple[Path, Path]:
    (tmp_path / "own").write_text("\n".join(lines) + "\n")
    return tmp_path / "cgroup", tmp_path / "own"


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 64), ("400000 100000", 4), ("150000 100000", 2), ("10000 100000", 1), ("9900000 100000", 64)],
)
def test_quota_of_a_cgroup(tmp_path: Path, quota: str, cores: int) -> None:
    places = groups(tmp_path, "0::/")
    write(tmp_path / "cgroup", cpu__max=quota)
    assert usable_cores(*places) == cores


@pytest.mark.usefixtures("many")
def test_the_least_of_nested_cgroups_counts(tmp_path: Path) -> None:
    places = groups(tmp_path, "0::/system.slice/slurm/job_1")
    write(tmp_path / "cgroup" / "system.slice" / "slurm" / "job_1", cpu__max="max 100000", memory__max="max")
    write(tmp_path / "cgroup" / "system.slice" / "slurm", cpu__max="300000 100000", memory__max=str(2 * GB))
    write(tmp_path / "cgroup" / "system.slice", cpu__max="800000 100000", memory__max=str(3 * GB))
    write(tmp_path / "cgroup" / "system.slice" / "other", cpu__max="100000 100000", memory__max=str(GB))
    write(tmp_path, cpu__max="100000 100000", memory__max=str(GB))  # above the mount: no cgroup
    assert (usable_cores(*places), usable_memory(*places)) == (3, 2 * GB)


@pytest.mark.usefixtures("many")
def test_first_version_of_cgroups(tmp_path: Path) -> None:
    places = groups(tmp_path, "12:cpuset:/a", "4:memory:/a/b", "2:cpu,cpuacct:/a", "1:name=systemd:/")
    write(tmp_path / "cgroup" / "cpu,cpuacct" / "a", cpu__cfs_quota_us="200000", cpu__cfs_period_us="100000")
    write(tmp_path / "cgroup" / "cpu,cpuacct", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    write(tmp_path / "cgroup" / "memory" / "a" / "b", memory__limit_in_bytes=str(2**63 - 4096))  # the kernel's "none"
    write(tmp_path / "cgroup" / "memory" / "a", memory__limit_in_bytes=str(GB))
    assert (usable_cores(*places), usable_memory(*places)) == (2, GB)


@pytest.mark.usefixtures("many")
def test_a_container_that_sees_only_its_own_cgroup_under_another_path(tmp_path: Path) -> None:
    places = groups(tmp_path, "0::/docker/1234")
    write(tmp_path / "cgroup", cpu__max="500000 100000", memory__max=str(GB))
    assert (usable_cores(*places), usable_memory(*places)) == (5, GB)


def test_without_cgroups_it_is_the_machine(tmp_path: Path) -> None:
    nowhere = (tmp_path / "none", tmp_path / "none")
    assert usable_cores(*nowhere) == joblib.cpu_count()
    assert usable_memory(*nowhere) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="macOS binds no process to cores")
def test_affinity_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    one = min(os.sched_getaffinity(0))
    done = subprocess.run(
        [sys.executable, "-P", "-c", CORES],
        preexec_fn=lambda: os.sched_setaffinity(0, {one}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1\n"
