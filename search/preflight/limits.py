"""Cores and memory that this process may use, which may be less than the machine has.

joblib knows affinity, cpusets and a container's own quota. Added are the quotas of the cgroups between a process and
the root, as systemd, Slurm and containers that share the machine's cgroups have them, and memory.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

import joblib

MOUNT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")  # of each hierarchy: number, controllers, path; of cgroup v2: "0::PATH"


def usable_cores(mount: Path = MOUNT, own: Path = OWN) -> int:
    """Count the cores that this process may use: at least one, and of a share of one the whole."""
    quotas = [quota for folder in _groups("cpu", mount, own) if (quota := _quota(folder)) is not None]
    return max(1, math.ceil(min([float(joblib.cpu_count()), *quotas])))


def usable_memory(mount: Path = MOUNT, own: Path = OWN) -> int:
    """Bytes of memory that this process may use: the machine's, or the least of its cgroups' limits."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    files = [folder / name for folder in _groups("memory", mount, own) for name in ("memory.max", _V1_MEMORY)]
    return int(min([machine, *(limit for file in files if (limit := _number(file)) is not None)]))


_V1_MEMORY = "memory.limit_in_bytes"


def _groups(controller: str, mount: Path, own: Path) -> Iterator[Path]:
    """Yield the folders of this process's cgroups for a controller, from its own up to the root's."""
    lines = []
    with contextlib.suppress(OSError):  # no Linux
        lines = own.read_text(encoding="utf-8").splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = mount / controllers if controllers else mount
        folder = root / path.lstrip("/")
        yield from (each for each in (folder, *folder.parents) if each.is_relative_to(root))


def _quota(folder: Path) -> float | None:
    """Cores of a cgroup's quota; `None` where there is none."""
    with contextlib.suppress(OSError, ValueError):
        share, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        return float(share) / float(period) if share != "max" else None
    quota, length = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")  # -1: none
    return quota / length if quota and length and quota > 0 else None


def _number(file: Path) -> float | None:
    """Content of a file that holds one number, or "max"."""
    with contextlib.suppress(OSError, ValueError):
        return float(file.read_text(encoding="utf-8"))
    return None
