"""What the command sets right around itself before it starts, whatever called it and other tools have set."""

import errno
import logging
import os
import signal
import sys
import threading
import warnings

AGAIN = 0.1  # seconds after which a stop that Python dropped is asked for again
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # what a disk answers that takes no more


def settle() -> list[str]:
    """Make the process fit for a run; return what is said of it, a line each.

    Ray's processes, and what they start, take all of it over.
    """
    _open_closed_streams()
    os.environ["MPLBACKEND"] = "agg"  # pictures are files; a notebook's value, say, is no back end here
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # else a home that is read-only is told at each start
    return _forgive_warnings()


def stop_on_signals() -> None:
    """Have SIGTERM and SIGINT raise `KeyboardInterrupt`, also where a shell starts this in the background.

    What a signal raises inside a finalizer or a callback Python drops, with a traceback on standard error: then the
    signal is sent again.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    shown = sys.unraisablehook

    def again(dropped: "sys.UnraisableHookArgs") -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            shown(dropped)
        elif not sys.is_finalizing():
            timer = threading.Timer(AGAIN, os.kill, (os.getpid(), signal.SIGINT))
            timer.daemon = True
            timer.start()

    sys.unraisablehook = again


def give_up_output() -> None:
    """Have what Python writes at its end go nowhere: standard output takes no more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_closed_streams() -> None:
    """Open those of the three streams that were closed: files opened later would take their places, and Ray asks."""
    for number, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def _forgive_warnings() -> list[str]:
    """Keep `PYTHONWARNINGS=error`, meant for tests of other code, from ending a run when a library warns."""
    if "error" not in os.environ.get("PYTHONWARNINGS", ""):
        return []
    del os.environ["PYTHONWARNINGS"]
    warnings.simplefilter("ignore")
    warnings.simplefilter("default", UserWarning)
    return ["PYTHONWARNINGS is not used: what a library warns of ends no command"]
