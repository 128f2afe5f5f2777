"""Process of a study as seen from the one that asked for it: started, listened to, interrupted, ended."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from tosmooth.search.api.messages import Messages
from tosmooth.search.api.worker import LOST, REFUSED, STOPPED, Request
from tosmooth.trainables.errors import InputError

COMMAND = (sys.executable, "-P", "-m", "tosmooth.search.api.worker")  # -P: no modules from wherever the user is
PATIENCE = 3  # interrupts, of which the last one kills


def run_apart(request: Request, messages: Messages) -> None:
    """Run a study in a process of its own, and show what it says.

    Raises `InputError` as `search.run.runner.run` does, `KeyboardInterrupt` where it was stopped, and `RuntimeError`
    where it broke. What had ended by then is kept, and the same request goes on.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as answer:
        process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=answer,
            stderr=None if messages.inherited else subprocess.PIPE,
            env=_environment(os.environ),
            start_new_session=True,  # a Ctrl-C is passed on by `_attended`, once
            encoding="utf-8",
            errors="replace",
        )
        last: list[str] = []
        with process:  # at its end standard input is closed, at which the process stops
            interrupted = _attended(process, request, messages, last)
        answer.seek(0)
        _judge(answer.read().strip().rpartition("\n")[2], process.returncode, interrupted, last)


def _attended(process: "subprocess.Popen[str]", request: Request, messages: Messages, last: list[str]) -> bool:
    """Hand the request over and wait for the end. True if this process was interrupted meanwhile."""
    interrupts, asked = 0, False
    while True:
        try:
            if process.stdin is not None and not asked:
                asked = True
                os.write(process.stdin.fileno(), f"{request.text()}\n".encode())
            for line in process.stderr or ():
                last[:] = [*last[-20:], line]
                messages.show(line.rstrip("\n"))
            process.wait()
        except BrokenPipeError:  # it has ended, and says why
            continue
        except KeyboardInterrupt:
            interrupts += 1
            if interrupts < PATIENCE:
                process.send_signal(signal.SIGINT)
            else:
                process.kill()
        else:
            messages.end()
            return interrupts > 0


def _judge(answer: str, code: int, interrupted: bool, last: list[str]) -> None:
    found: dict[str, Any] = json.loads(answer) if code == 0 and answer else {}
    if REFUSED in found:
        raise InputError(found[REFUSED])
    if LOST in found:
        raise RuntimeError(f"{found[LOST]}. What ended is kept; the same call goes on")
    if "done" in found and not interrupted:
        return
    if STOPPED in found or interrupted:
        raise KeyboardInterrupt("stopped; what ended is kept, and the same call goes on")
    raise RuntimeError(f"the process of the study ended with exit code {code}\n{''.join(last).strip()}")


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """Environment of the process: tosmooth is found where this one found it, and factorisations take one thread."""
    root = Path(str(files("tosmooth"))).parent
    places = (
        [str(root)] if str(root) in sys.path and str(root) not in own.get("PYTHONPATH", "").split(os.pathsep) else []
    )
    path = os.pathsep.join(filter(None, [own.get("PYTHONPATH", ""), *places]))
    # Beside trials on all cores a factorisation by several threads took 20 times as long.
    return {"OPENBLAS_NUM_THREADS": "1", **own, **({"PYTHONPATH": path} if path else {})}
