"""Watch over a Ray that was started here: nothing can take the place of a process of its that is gone."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ray._private import worker
from ray._private.node import Node

from tosmooth.search.run.options import RayLostError

EVERY = 2.0  # seconds between two looks
PATIENCE = 20.0  # seconds in which the driver ends: calls into Ray may wait for what is gone, and hear no signal
NEEDED = {"gcs_server": "its control service", "raylet": "its node manager"}  # Ray's name of a process -> in words


@contextmanager
def watched(shutdown: Callable[[], None]) -> Iterator[None]:
    """Interrupt what runs in this context, in the main thread, as soon as a process is gone that Ray cannot do without.

    `shutdown` is called at the end. Raises `RayLostError`; ends the process where it does not come to that in time.
    """
    over, ended, lost = threading.Event(), threading.Event(), list[str]()

    def watch() -> None:
        while not over.wait(EVERY):
            if (gone := _gone()) and not over.is_set():
                lost.extend(gone)
                os.kill(os.getpid(), signal.SIGINT)
                if not ended.wait(PATIENCE):
                    sys.stderr.write(f"error: {_words(gone)}. What ended is kept; the same command goes on\n")
                    sys.stderr.flush()
                    os._exit(1)  # as after a kill: all that lasts is on the disk
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    except BaseException as error:
        # What else is raised may come of that. A Ctrl-C, or a SIGTERM that all processes got, is what it is.
        gone = lost if isinstance(error, KeyboardInterrupt) else lost or _gone()
        if gone:
            raise RayLostError(_words(gone)) from error
        raise
    finally:
        over.set()
        try:
            shutdown()
        finally:
            ended.set()
            thread.join()


def _words(gone: list[str]) -> str:
    return f"Ray ended in the middle: {' and '.join(gone)} was killed"


def _gone() -> list[str]:
    node: Node | None = worker._global_node
    dead = set() if node is None else {kind for kind, _ in node.dead_processes()}
    return [words for kind, words in NEEDED.items() if kind in dead]
