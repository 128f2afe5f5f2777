"""Judge what was found on machines and services: pure functions that return lines with advice."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tosmooth.search.preflight.machine import Machine
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.redact import masked

State = Literal["ok", "warning", "failed"]
GB = 1e9
LITTLE = 5 * GB  # bytes on a disk below which a study may run out of room
TOO_LITTLE = 0.5 * GB  # and below which it will
SHOWN = 4  # machines that a line names, of however many
ADVICE = {  # on folders that cannot be used
    "home": "let the user that runs it write there, or name another folder with --home; with --address one that all "
    "nodes share",
    "trunks": "let the user that runs it write there, or name another folder as trunks.folder, which all nodes share",
    "cache-dir": "let the user that runs it write there, or name another folder of each node's own with --cache-dir",
}


@dataclass(frozen=True, slots=True)
class Check:
    """Result of looking at one thing: its state, what was found, and advice."""

    name: str
    state: State
    found: str
    advice: str = ""  # what to do, unless it is ok


def require_all(checks: Iterable[Check]) -> None:
    """Raise `InputError` with every check that failed, and what to do about it."""
    wrong = [f"{check.name}: {check.found}; {check.advice}" for check in checks if check.state == "failed"]
    if wrong:
        raise InputError("\n".join(wrong))


def folder_checks(shared: Mapping[str, str], cache: str, machines: Mapping[str, Machine]) -> list[Check]:
    """Check that each folder can be written on every machine, named "driver" or by its address."""
    checks = []
    for name, place in {**shared, "cache-dir": cache}.items():
        refused = [f"{where}: {each.refused[name]}" for where, each in machines.items() if name in each.refused]
        if refused:
            checks.append(Check(name, "failed", some(refused), ADVICE[name]))
        else:
            checks.append(Check(name, "ok", f"{masked(place)} can be written to by {_everyone(machines)}"))
    return checks


def version_check(driver: Machine, nodes: Mapping[str, Machine]) -> Check:
    """Check that all machines run the same versions. The build at the end of a version ("+cpu") may differ."""
    ours = {package: _public(version) for package, version in driver.versions.items()}
    wrong = []
    for where, node in nodes.items():
        theirs = {package: _public(version) for package, version in node.versions.items()}
        other = [f"{p} {theirs[p]} (driver: {ours[p]})" for p in ours if theirs[p] != ours[p]]
        wrong += [f"{where}: {', '.join(other)}"] if other else []
    if wrong:
        return Check("versions", "failed", some(wrong), "install on every node what the driver has, from one lock")
    words = ", ".join(f"{package} {version}" for package, version in driver.versions.items())
    return Check("versions", "ok", f"{words}{_also(nodes)}")


def cores_check(offered: Mapping[str, float], nodes: Mapping[str, Machine]) -> Check:
    """Check that no node offers the cluster more CPUs than its processes may use. `offered`: CPUs of each node.

    What it offers is its owner's to decide, and counts; trials would share the cores there are.
    """
    more = {where: node.cores for where, node in nodes.items() if offered.get(where, 0) > node.cores}
    if more:
        words = [f"{where} offers {offered[where]:g} CPUs, and may use {cores}" for where, cores in more.items()]
        return Check(
            "cores", "warning", some(words), "trials wait for each other there: ray start --num-cpus says less"
        )
    return Check("cores", "ok", f"no more CPUs are offered than may be used on {_everyone(nodes)}")


def disk_check(machines: Mapping[str, Machine]) -> Check:
    """Check that there is room on the disks of home, cache and temporary folder."""
    free = {
        f"{name} {folder}" + ("" if len(machines) == 1 else f" on {where}"): size
        for where, machine in machines.items()
        for name, (folder, size) in machine.free.items()
    }
    least = min(free.values(), default=0)
    low = [f"{where}: {size / GB:.1f} GB free" for where, size in free.items() if size < LITTLE]
    if low:
        state: State = "failed" if least < TOO_LITTLE else "warning"
        return Check("disk space", state, some(low), "make room there, or name a folder on a larger disk")
    return Check("disk space", "ok", f"at least {least / GB:.0f} GB free in home, cache and temporary folder")


def data_check(driver: Machine, nodes: Mapping[str, Machine]) -> Check | None:
    """Check by their sizes that every node has the driver's data files; `None` if the data set has no files."""
    if not driver.data:
        return None
    wrong = [
        f"{where}: {file}: {node.data[file]} (driver: {size})"
        for where, node in nodes.items()
        for file, size in driver.data.items()
        if node.data[file] != size
    ]
    if wrong:
        return Check("data on nodes", "failed", some(wrong), "name a folder with --data-dir that all nodes share")
    return Check("data on nodes", "ok", f"{len(driver.data)} files, of the same size on {_everyone(nodes)}")


def some(words: Sequence[str]) -> str:
    """Join the first few of many words, and say how many more there are."""
    more = len(words) - SHOWN
    return "; ".join([*words[:SHOWN], *([f"and {more} more"] if more > 0 else [])])


def _public(version: str) -> str:
    """Return a version without the part that marks its build, such as "+cpu"."""
    first, _, rest = version.partition(" ")
    return " ".join(filter(None, (first.partition("+")[0], rest)))


def _also(nodes: Mapping[str, Machine]) -> str:
    return f"; the same on {len(nodes)} nodes" if nodes else ""


def _everyone(machines: Mapping[str, Machine]) -> str:
    nodes = len(machines) - ("driver" in machines)
    parts = [*(["the driver"] if "driver" in machines else []), *([f"{nodes} nodes"] if nodes else [])]
    return " and ".join(parts) or "no one"
