"""What stands in `docker/`, read as plain data."""

import re
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT

DOCKER = ROOT / "docker"
IMAGE = "/opt/tosmooth/"  # where the Dockerfile puts docker/
COMPOSE = DOCKER / "compose.yaml"
GPU = DOCKER / "compose.gpu.yaml"
EXAMPLE = DOCKER / "example.env"
SCRIPTS = [*sorted(DOCKER.glob("*.sh")), DOCKER / "slurm" / "tosmooth.sbatch"]


def services() -> dict[str, dict[str, Any]]:
    found = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    assert isinstance(found, dict)
    return found


def example() -> dict[str, str]:
    """The settings of the example, by name."""
    lines = [line for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's: each word with what follows it."""
    text = re.sub(r"^#.*\n", "", (DOCKER / "Dockerfile").read_text(encoding="utf-8"), flags=re.M)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def here(path: str) -> Path:
    """The file of this repository that the image has at a path."""
    return ROOT / path.removeprefix(IMAGE)
