"""A sampler in a process of its own, in its library's environment: one line of JSON a call, one an answer.

python -m samplers.serve MODULE CLASS
"""

import contextlib
import importlib
import json
import os
import sys
import warnings

from samplers.interface import Dimension, Sampler, Task


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the library prints is no answer
    warnings.simplefilter("ignore")
    made: type[Sampler] = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])
    sampler: Sampler | None = None
    for line in sys.stdin:
        call, *words = json.loads(line)
        try:
            if call == "start":
                space, *rest = words
                sampler, value = made(Task([Dimension(*each) for each in space], *rest)), None
            else:
                value = getattr(sampler, call)(*words)
            answer = {"value": value}
        except Exception as error:  # told to whoever asked
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
