"""Look at what each node of the joined cluster has for a study, by a task on each of them."""

import contextlib
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tosmooth.search.preflight.machine import Machine, Wanted, look

PATIENCE = 60.0  # seconds in which the nodes answer; each starts a process first, which takes some


@dataclass(frozen=True, slots=True)
class Node:
    """Node that is alive, and what it answered."""

    address: str
    resources: dict[str, float]
    found: Machine | None
    trouble: str = ""  # why it said nothing

    @property
    def trains(self) -> bool:
        """True if trials can run there: the head node often offers no CPU."""
        return self.resources.get("CPU", 0) > 0


def look_at_nodes(wanted: Wanted, seconds: float = PATIENCE) -> list[Node]:
    """Look at every node of the cluster, in order of address, without taking a CPU from trials that run there."""
    alive = sorted((node for node in ray.nodes() if node["Alive"]), key=lambda node: str(node["NodeManagerAddress"]))
    task = ray.remote(num_cpus=0, max_retries=0)(look)
    asked = [task.options(scheduling_strategy=_on(node)).remote(wanted) for node in alive]
    ready, _ = ray.wait(asked, num_returns=len(asked), timeout=seconds) if asked else ([], [])
    there = set(ready)
    return [_heard(node, answer, answer in there, seconds) for node, answer in zip(alive, asked, strict=True)]


def _on(node: dict[str, Any]) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)


def _heard(node: dict[str, Any], answer: Any, ready: bool, seconds: float) -> Node:
    about = (str(node["NodeManagerAddress"]), dict(node["Resources"]))
    if not ready:
        with contextlib.suppress(RayError, ValueError):
            ray.cancel(answer, force=True)
        return Node(*about, None, f"no answer within {seconds:g} s")
    try:
        return Node(*about, ray.get(answer))
    except Exception as error:  # of the task, or of loading it: a node without tosmooth knows no such module
        return Node(*about, None, _last_line(error))


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
