"""Looks into a running program from outside: the time that calls take, and what is noted after them."""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock


@dataclass(slots=True)
class Share:
    """The calls of one function, from whichever thread."""

    calls: int = 0
    seconds: float = 0.0  # from call to return: with several threads, waiting for the interpreter counts
    cpu_seconds: float = 0.0  # of the calling thread


@contextmanager
def timed(owner: Any, name: str) -> Iterator[Share]:
    """Add up the calls of `owner.name` as long as the context lasts; `owner` is a class, a module or an object."""
    original, share = getattr(owner, name), Share()

    @functools.wraps(original)
    def call(*arguments: Any, **named: Any) -> Any:
        start, cpu_start = time.perf_counter(), time.thread_time()
        try:
            return original(*arguments, **named)
        finally:
            share.calls += 1
            share.seconds += time.perf_counter() - start
            share.cpu_seconds += time.thread_time() - cpu_start

    with mock.patch.object(owner, name, call):
        yield share


@contextmanager
def noted(owner: Any, name: str, note: Callable[..., None]) -> Iterator[None]:
    """Give `note` the arguments of every call of `owner.name` that has returned."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def call(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        note(*arguments, **named)
        return result

    with mock.patch.object(owner, name, call):
        yield
