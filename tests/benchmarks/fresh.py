"""A call in a process of its own.

Ray, MLflow and Optuna are set up once for each process, in part through its environment: what one side sets must not
reach the next.
"""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def fresh(function: Callable[..., T], *arguments: Any) -> T:
    """What `function(scratch, *arguments)` returns when a new process calls it; `scratch` is an empty folder.

    The folder is the working directory too, and goes when the call is over. What is printed goes there.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_call, function, arguments).result()


def _call(function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        sys.argv[0] = str(Path(sys.argv[0]).absolute())  # Ray's workers import from this script's folder
        os.chdir(scratch)
        output = os.open("output.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        return function(scratch, *arguments)
