"""The other end of `serve.py`: a sampler whose library cannot live in one environment with the others."""

import contextlib
import json
import os
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from samplers.interface import Asked, Task

HERE = Path(__file__).resolve().parents[1]


class RemoteError(RuntimeError):
    """The library raised, or its process ended."""


class Remote:
    """A sampler that answers from another process, which is started once and takes one search after another."""

    def __init__(self, python: Path, module: str, name: str, task: Task) -> None:
        self.process = _process(python, module, name)
        if self.process.poll() is not None:  # an earlier search ended it
            _process.cache_clear()
            self.process = _process(python, module, name)
        self._call("start", [list(each) for each in task.space], task.epochs, task.budget, task.seed)

    def ask(self) -> Asked:
        """What to train next."""
        return Asked(*self._call("ask"))

    def goes_on(self, key: str, epoch: int, accuracy: float) -> bool:
        """Whether the run is to go on after this epoch."""
        return bool(self._call("goes_on", key, epoch, accuracy))

    def tell(self, key: str, epoch: int, accuracy: float) -> None:
        """The run has come to this epoch, and stands there."""
        self._call("tell", key, epoch, accuracy)

    def best(self) -> Mapping[str, float] | None:
        """What the library recommends."""
        found: Mapping[str, float] | None = self._call("best")
        return found

    def _call(self, *words: Any) -> Any:
        inlet, outlet = self.process.stdin, self.process.stdout
        assert inlet is not None
        assert outlet is not None
        line = ""
        with contextlib.suppress(BrokenPipeError):
            inlet.write(json.dumps(words) + "\n")
            inlet.flush()
            line = outlet.readline()
        answer = json.loads(line) if line else {"error": f"the sampler's process ended: {self.process.poll()}"}
        if "error" in answer:
            raise RemoteError(answer["error"])
        return answer["value"]


@lru_cache
def _process(python: Path, module: str, name: str) -> "subprocess.Popen[str]":
    command = [str(python), "-W", "ignore", "-m", "samplers.serve", module, name]
    pipe = subprocess.PIPE
    # It ends with its input, and so with this process.
    return subprocess.Popen(
        command, **place(python), stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, encoding="utf-8"
    )


def place(python: Path) -> dict[str, Any]:
    """Where an environment's processes run: in its own folder, which keeps what a library fetches (ifBO's weights)."""
    return {"cwd": python.parents[1], "env": os.environ | {"PYTHONPATH": str(HERE)}}
