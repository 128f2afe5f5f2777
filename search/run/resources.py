"""Resources that a trial asks Ray for, and the number of trials that run at once on the nodes there are."""

from collections.abc import Mapping, Sequence

from tosmooth.search.spec.sections import Resources
from tosmooth.trainables.errors import InputError

ACCELERATOR = "accelerator_type:"  # so begins Ray's name for the type of a node's GPUs
SHARE = 0.25  # of a GPU, where Ray finds one and the study says nothing
EPSILON = 1e-9  # thirds of a GPU are floats


def gpus_of(resources: Resources, nodes: Sequence[Mapping[str, float]]) -> float:
    """GPUs a trial takes, 0 where there are none and the study asks for none."""
    if resources.gpus is not None:
        return resources.gpus
    return SHARE if resources.accelerator or any(node.get("GPU") for node in nodes) else 0.0


def request(resources: Resources, gpus: float) -> dict[str, float]:
    """Resources of one trial, in Ray's words. A type of GPU is asked for by a sliver of the node's mark of it."""
    kind = {} if resources.accelerator is None else {ACCELERATOR + resources.accelerator: 0.001}
    return {"cpu": resources.cpus, "gpu": gpus, **kind}


def slots(resources: Resources, nodes: Sequence[Mapping[str, float]], joined: bool) -> tuple[int, int]:
    """Number of trials at once, and how many of them fit on the nodes as they are; `nodes`: resources of each.

    Counted node by node and GPU by GPU: of a trial that takes 0.4, two fit on one. On a cluster that was `joined`,
    `resources.concurrent` is how many are asked for, and those that do not fit wait for nodes that join: it may grow by
    what waits. Raises `InputError` where not one would ever run.
    """
    gpus = gpus_of(resources, nodes)
    fit = sum(_fit(resources, gpus, node) for node in nodes)
    if joined and resources.concurrent is not None:
        return resources.concurrent, min(fit, resources.concurrent)
    if fit < 1:
        raise InputError(_refusal(resources, gpus, nodes))
    found = min(fit, resources.concurrent or fit)
    return found, found


def _fit(resources: Resources, gpus: float, node: Mapping[str, float]) -> int:
    if resources.accelerator is not None and not node.get(ACCELERATOR + resources.accelerator):
        return 0
    fit = int(node.get("CPU", 0.0) / resources.cpus + EPSILON)
    if 0 < gpus < 1:
        return min(fit, int(node.get("GPU", 0.0)) * int(1 / gpus + EPSILON))
    return min(fit, int(node.get("GPU", 0.0) / gpus)) if gpus else fit


def _refusal(resources: Resources, gpus: float, nodes: Sequence[Mapping[str, float]]) -> str:
    have = ", ".join(f"{total(kind, nodes):g} {kind}" for kind in ("CPU", "GPU"))
    kinds = accelerators(nodes)
    if resources.accelerator is not None and resources.accelerator not in kinds:
        return f"resources.accelerator: {resources.accelerator!r} is refused: Ray found {', '.join(kinds) or 'none'}"
    on = f" on {len(nodes)} nodes, none of which has room for one" if len(nodes) > 1 else ""
    return f"resources: {resources.cpus:g} CPUs and {gpus:g} GPUs a trial are refused: Ray found {have}{on}"


def total(kind: str, nodes: Sequence[Mapping[str, float]]) -> float:
    """Resource of all nodes together."""
    return sum(node.get(kind, 0.0) for node in nodes)


def accelerators(nodes: Sequence[Mapping[str, float]]) -> list[str]:
    """Types of the nodes' GPUs."""
    return sorted({name.removeprefix(ACCELERATOR) for node in nodes for name in node if name.startswith(ACCELERATOR)})
