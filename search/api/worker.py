"""Process behind `tosmooth.run`: `python -m tosmooth.search.api.worker`, with a request on standard input.

Ray stays out of the user's process: a client of its that outlives `ray.shutdown` ends its process a minute later, and
what it sets in the environment, its threads and its folders stay. Here all of that ends with the process.

The request is one line of JSON (`Request`); after it standard input stays open for as long as anyone waits: where it
ends, so does this process, as after Ctrl-C. Words go to standard error; the last line of standard output is the answer.
"""

import base64
import json
import os
import signal
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from tosmooth.search.api.surroundings import settle, stop_on_signals
from tosmooth.trainables.errors import InputError

STOPPED, REFUSED, LOST = "stopped", "refused", "lost"  # what an answer has, beside "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be run, where, and how much is said meanwhile."""

    study: str  # a study file's text, every choice settled
    home: str
    data: str | None
    cache: str | None
    address: str | None
    tracking_uri: str | None
    storage: str | None
    code: str | None  # archive of the user's code that the study names, in base64
    quiet: bool  # warnings alone
    line_every: float  # seconds between two lines of progress

    def text(self) -> str:
        """Line of JSON."""
        return json.dumps(asdict(self))


def main() -> None:
    """Run the requested study and answer."""
    source = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - as long as the process
    request = Request(**json.loads(source.readline()))
    stop_on_signals()
    try:
        threading.Thread(target=_end_with_asker, daemon=True).start()
        for line in settle():
            sys.stderr.write(f"{line}\n")
        answer = _run(request)
    except KeyboardInterrupt:
        answer = {STOPPED: ""}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asked may end now, or ask again
    sys.stdout.write(f"\n{json.dumps(answer)}\n")


def _end_with_asker() -> None:
    while os.read(0, 1):  # not by a buffered reader, whose lock this thread would hold at the interpreter's end
        pass
    os.kill(os.getpid(), signal.SIGINT)


def _run(request: Request) -> dict[str, object]:
    from tosmooth.search.api.execution import execute
    from tosmooth.search.report.stages import StageConsole
    from tosmooth.search.run.options import Options, RayLostError
    from tosmooth.search.spec.loading import read_study
    from tosmooth.search.storage.home import Home
    from tosmooth.trainables.user_code import UserCode

    # A kernel sets FORCE_COLOR, by which rich takes a pipe for a terminal.
    terminal = sys.stderr.isatty()
    console = StageConsole(
        stderr=True, markup=False, highlight=False, quiet=request.quiet, force_terminal=terminal, force_jupyter=False
    )
    console.plain, console.line_every = True, request.line_every
    options = Options(
        Home(Path(request.home)),
        data=request.data,
        cache=None if request.cache is None else Path(request.cache),
        address=request.address,
        tracking_uri=request.tracking_uri,
        storage=request.storage,
        code=None if request.code is None else UserCode.from_archive(base64.b64decode(request.code), "code"),
    )
    try:
        rows = execute(read_study(request.study), options, console)
    except InputError as error:
        return {REFUSED: str(error)}
    except RayLostError as error:
        return {LOST: str(error)}
    return {"done": all(row.completed for row in rows)}


if __name__ == "__main__":
    main()
