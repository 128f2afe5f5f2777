"""Machines that a study was trained on, as its folder remembers them: versions, processor, nodes."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tosmooth.search.preflight.machine import versions
from tosmooth.trainables.files.atomic_write import write


@dataclass(frozen=True, slots=True)
class Trained:
    """Machine, or cluster, on which trials ran."""

    versions: dict[str, str]
    processor: str  # of the driver's machine
    nodes: int
    cpus: float  # that Ray found, all together
    gpus: float
    accelerators: list[str]

    @property
    def words(self) -> str:
        """The machine in words."""
        on = f"{self.nodes} nodes, " if self.nodes > 1 else ""
        kinds = f" ({', '.join(self.accelerators)})" if self.accelerators else ""
        gpus = f", {self.gpus:g} GPU{'' if self.gpus == 1 else 's'}{kinds}" if self.gpus else ""
        return f"{on}{self.cpus:g} core{'' if self.cpus == 1 else 's'} ({self.processor}){gpus}"


def keep_machine(file: Path, nodes: int, cpus: float, gpus: float, accelerators: Sequence[str]) -> None:
    """Remember the machine that trains now, by what Ray found of it; one that is known is not kept twice."""
    found = Trained(versions(), _processor(), nodes, cpus, gpus, list(accelerators))
    known = read_machines(file)
    if found not in known:
        write(json.dumps([asdict(each) for each in (*known, found)], indent=2) + "\n", file)


def read_machines(file: Path) -> list[Trained]:
    """Read the machines of a study, the first to train it first; none where they are not known."""
    try:
        return [Trained(**each) for each in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):  # of a version before, or damaged: nothing but the report asks for it
        return []


def _processor() -> str:
    """Name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
