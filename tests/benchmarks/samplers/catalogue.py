"""Which samplers there are, and where each can run: here, or in the environment of its library."""

import importlib
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path

from samplers.interface import Sampler, Task
from samplers.remote import Remote, place

ROOT = Path(__file__).resolve().parents[3]
Make = Callable[[Task], Sampler]


@dataclass(frozen=True, slots=True)
class Entry:
    """A sampler of the comparison."""

    module: str
    name: str  # of the class
    needs: str  # what must be importable
    environment: str = ""  # of a library that does not install beside the others; set up by `make bench-samplers`

    @property
    def python(self) -> Path:
        """The interpreter of its own environment."""
        return ROOT / self.environment / "bin" / "python"


HEBO, NEPS = ".venv-bench-hebo", ".venv-bench-neps"
CATALOGUE = {
    "Optuna random": Entry("samplers.of_optuna", "Random", "optuna"),
    "Optuna TPE": Entry("samplers.of_optuna", "TPE", "optuna"),
    "Optuna GPSampler": Entry("samplers.of_optuna", "GP", "optuna"),
    "Optuna CMA-ES": Entry("samplers.of_optuna", "CMAES", "cmaes"),
    "Optuna Hyperband": Entry("samplers.of_optuna", "Hyperband", "optuna"),
    "Ax": Entry("samplers.of_ax", "Ax", "ax"),
    "SMAC3": Entry("samplers.of_smac", "SMAC", "smac"),
    "SMAC3, one seed": Entry("samplers.of_smac", "OneSeed", "smac"),
    "HEBO": Entry("samplers.of_hebo", "HEBO", "hebo", HEBO),
    "NePS PriorBand": Entry("samplers.of_neps", "PriorBand", "neps", NEPS),
    "NePS ifBO": Entry("samplers.of_neps", "IfBO", "neps", NEPS),
}


def maker(name: str) -> Make | str:
    """What makes a sampler, or in words why it cannot be tried here."""
    entry = CATALOGUE[name]
    if not entry.environment:
        if find_spec(entry.needs) is None:
            return f"{entry.needs} is not installed (`make bench-samplers` does)"
        made: Make = getattr(importlib.import_module(entry.module), entry.name)
        return made
    if not entry.python.exists():
        return f"there is no {entry.environment} (`make bench-samplers` sets it up where it can)"
    trouble = _trouble(entry.python, entry.module, entry.name)
    return trouble or partial(Remote, entry.python, entry.module, entry.name)


@lru_cache
def _trouble(python: Path, module: str, name: str) -> str:
    """Why a sampler does not work in its environment: the last line of the error."""
    code = f"from samplers.interface import *; import {module} as m; m.{name}(Task([{_TRIED}], 4, 8, 0)).ask()"
    command = [str(python), "-W", "ignore", "-c", code]
    done = subprocess.run(command, **place(python), capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it ends without a word"])[-1]


_TRIED = "Dimension('a', 0, 1, False, False, 0.5), Dimension('b', 0, 2, True, False, 0)"
