"""The files for KubeRay, checked against the fields that its resource definitions have."""

import re
from functools import cache
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.docker.files import DOCKER, IMAGE, here

KUBERAY = DOCKER / "kuberay"
KINDS = {"RayCluster": "raycluster.yaml", "RayJob": "rayjob.yaml"}
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "int-or-string": (int, str),
}


@cache
def fields() -> dict[str, dict[str, list[str]]]:
    """By section, each field's path with its type, its values if they are few, and "required" if it is."""
    found: dict[str, dict[str, list[str]]] = {}
    for line in (KUBERAY / "fields.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
        elif not line.startswith("#"):
            path, words = line.split(": ")
            section[path] = words.split()
    return found


def wrong(section: str, value: Any, path: str = "") -> list[str]:
    """What in a document is no field of the section, or of another type, or lacks what is required."""
    known = fields()[section]
    if path:
        if path not in known:
            return [f"{path}: no such field"]
        kind, *more = known[path]
        if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
            return [f"{path}: {value!r} is no {kind}"]
        if more[:1] == ["of"] and value not in more[1].split("|"):
            return [f"{path}: {value!r} is none of {more[1]}"]
    if path.endswith("template"):
        return wrong("template", value)
    if path == "rayClusterSpec":
        return wrong("RayCluster.spec", value)
    if isinstance(value, list):
        return [each for item in value for each in wrong(section, item, f"{path}[]")]
    if not isinstance(value, dict):
        return []
    return _missing(known, value, path) + [
        each for name, item in value.items() for each in wrong(section, item, _child(known, path, name))
    ]


def _child(known: dict[str, list[str]], path: str, name: str) -> str:
    start = f"{path}." if path else ""
    return f"{start}*" if f"{start}*" in known else f"{start}{name}"


def _missing(known: dict[str, list[str]], value: dict[str, Any], path: str) -> list[str]:
    start = f"{path}." if path else ""
    needed = [key.removeprefix(start) for key, words in known.items() if key.startswith(start) and "required" in words]
    return [f"{start}{name} is missing" for name in needed if not re.search(r"[.\[]", name) and name not in value]


def document(kind: str) -> dict[str, Any]:
    found = yaml.safe_load((KUBERAY / KINDS[kind]).read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_one_of_kuberays_with_a_value_of_its_type(kind: str) -> None:
    found = document(kind)
    assert (found["apiVersion"], found["kind"]) == ("ray.io/v1", kind)
    assert set(found) == {"apiVersion", "kind", "metadata", "spec"}
    assert wrong(f"{kind}.spec", found["spec"]) == []


def test_misspelt_missing_and_mistyped_fields_are_found() -> None:
    spec = document("RayCluster")["spec"]
    spec["authOptions"]["mode"] = "password"
    spec["autoscalerOptions"]["idleSeconds"] = 3
    spec["workerGroupSpecs"][0]["minReplicas"] = "1"
    del spec["workerGroupSpecs"][0]["maxReplicas"]
    spec["headGroupSpec"]["template"]["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["nom"] = "tosmooth"
    assert sorted(wrong("RayCluster.spec", spec)) == [
        "authOptions.mode: 'password' is none of disabled|token",
        "autoscalerOptions.idleSeconds: no such field",
        "spec.containers[].envFrom[].configMapRef.nom: no such field",
        "workerGroupSpecs[].maxReplicas is missing",
        "workerGroupSpecs[].minReplicas: '1' is no integer",
    ]


def test_a_job_brings_the_very_cluster_of_the_other_file() -> None:
    assert document("RayJob")["spec"]["rayClusterSpec"] == document("RayCluster")["spec"]


def test_ray_is_of_the_version_that_the_image_has() -> None:
    locked = re.search(r"^ray==(\S+)", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.M)
    assert locked is not None
    assert document("RayCluster")["spec"]["rayVersion"] == locked[1]


def test_entrypoint_is_a_script_of_the_image() -> None:
    entrypoint = document("RayJob")["spec"]["entrypoint"].split()[0]
    assert entrypoint.startswith(IMAGE)
    assert here(entrypoint).exists()


def test_workers_autoscale_ask_for_a_gpu_and_hold_no_password() -> None:
    spec = document("RayCluster")["spec"]
    assert spec["enableInTreeAutoscaling"] is True
    (group,) = spec["workerGroupSpecs"]
    assert group["minReplicas"] < group["maxReplicas"]
    (container,) = group["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "env" not in container
    assert "envFrom" not in container  # the passwords are the driver's; the token KubeRay hands to every node itself
