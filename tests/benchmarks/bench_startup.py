"""How soon the command answers, and how soon training starts: `tosmooth` against a bare interpreter and a usual script.

    python tests/benchmarks/bench_startup.py [--repeats N] [--json FILE]

1. `tosmooth --help` from start to end of the process, beside an interpreter that does nothing.
2. `tosmooth run twonorm` in an empty home, from the start of the process to the first step of training: the time in the
   first line of the history less the seconds of that epoch. The run is then stopped by SIGINT. Beside it the usual
   platform (`usual_start.py`): OptunaSearch, MLflowLoggerCallback, and the same first epoch.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import OURS, Measurement, arguments, in_turn, report

PATIENCE = 300.0  # seconds
HELP_LIMIT, STEP_LIMIT = 0.5, 15.0  # seconds


def main() -> None:
    options = arguments(__doc__, repeats=5).parse_args()
    help_sides = {
        OURS: lambda: _seconds([_tosmooth(), "--help"]),
        "bare interpreter": lambda: _seconds([sys.executable, "-c", "pass"]),
    }
    start_sides = {OURS: our_first_step, "usual": usual_first_step}
    measured = [
        Measurement(
            what="tosmooth --help",
            unit="s",
            values=in_turn(help_sides, 2 * options.repeats),
            facts={"to be under": f"{HELP_LIMIT} s"},
        ),
        Measurement(
            what="start of the process to first training step, twonorm",
            unit="s",
            values=in_turn(start_sides, options.repeats),
            facts={"to be under, on 2 cores": f"{STEP_LIMIT:g} s"},
        ),
    ]
    report("Start-up", measured, options.json)


def our_first_step() -> float:
    """Seconds from the start of `tosmooth run twonorm` to its first step."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name) / "home"
        history = home / "studies" / "twonorm" / "history.jsonl"
        changes = ["--set", "search.trials=4", "--set", "confirmation.seeds=1", "--set", "confirmation.finalists=1"]
        start = time.time()
        process = subprocess.Popen(
            [_tosmooth(), "run", "twonorm", "--home", str(home), *changes],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
        try:
            while not (history.exists() and b"\n" in history.read_bytes()):
                if process.poll() is not None or time.time() - start > PATIENCE:
                    raise RuntimeError(f"tosmooth run trained nothing; its exit code: {process.poll()}")
                time.sleep(0.05)
            first = json.loads(history.read_bytes().splitlines()[0])
        finally:
            _stop(process)
    return float(first["time"] - first["metrics"]["seconds"] - start)


def usual_first_step() -> float:
    """The same for a script of the usual platform."""
    script = Path(__file__).with_name("usual_start.py")
    with tempfile.TemporaryDirectory() as name:
        found = Path(name) / "first_step.txt"
        start = time.time()
        subprocess.run(
            [sys.executable, str(script), str(found)],
            cwd=name,
            check=True,
            timeout=PATIENCE,
            capture_output=True,
            env=_environment(),
        )
        return float(found.read_text()) - start


def _stop(process: subprocess.Popen[bytes]) -> None:
    """As Ctrl-C does, and if need be for good."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=_environment())
    return time.perf_counter() - start


def _tosmooth() -> str:
    """The command of this environment."""
    found = shutil.which("tosmooth", path=str(Path(sys.executable).parent))
    if found is None:
        raise FileNotFoundError(f"no tosmooth beside {sys.executable}")
    return found


def _environment() -> dict[str, str]:
    """Without what would change the run; with compiled modules kept, as everyone has them."""
    dropped = ("TOSMOOTH_HOME", "TOSMOOTH_STORAGE", "TOSMOOTH_TRACKING_URI", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if name not in dropped}


if __name__ == "__main__":
    main()
