"""All that is measured on a GPU, in one call; tests/benchmarks/gpu.sh starts it.

Run it: tests/benchmarks/gpu.sh --data-dir DIR [--json FILE] [--minutes M] [--only PART ...] [--rehearse]

DIR holds CIFAR-10, as torchvision or as Parquet files, and CIFAR-10_human.pt; nothing is downloaded. Each part is a
script of its own beside this one, with its own limit of time: one that fails or hangs costs the others nothing. The
file is written after each part, with what was left out and why; of a part that was stopped it has what was measured by
then. `--rehearse` runs the same on the CPU, each part as small as can be, to see that it works: its numbers say
nothing. Where CIFAR-10 is missing it takes random pictures.

Exit code: 0 where all was measured, 1 where something was left out, 2 where nothing was begun: no GPU, or no data.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from cifar import LABELLED, STAND_INS, add_options, cifar10, lies_in
from harness import machine

from tosmooth.trainables.data.datasets import load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.atomic_write import write

FOLDER = Path(__file__).resolve().parent
MINUTES = 8.5  # of all parts: with the start of Python the call takes at most nine
LEAST = 5.0  # seconds: with less left, no part is begun
LONGER = 10  # times as long may a rehearsal take, whose processors may be few and busy
GRACE = 15.0  # seconds of a part's limit that a script which minds its time leaves for its start and end


@dataclass(frozen=True, slots=True)
class Part:
    """A script with its options, on a GPU and in a rehearsal."""

    name: str
    script: str
    seconds: float  # its limit
    options: str
    rehearsal: str
    minds_time: bool = False  # takes --seconds, and does as much as fits


FEW = "--size 400 --trials 1 --repeats 1"
TINY = "--epochs 1 --size 400 --width 8"
PARTS = (
    Part(
        "resnet34",
        "bench_training.py",
        100,
        "--network resnet34 --batches 120 --epoch-images 15360 --repeats 3",
        "--network resnet34 --batches 1 --epoch-images 64 --repeats 1 --batch-size 16",
    ),
    Part(
        "fastcnn",
        "bench_training.py",
        75,
        "--network fastcnn --batches 60 --epoch-images 15360 --repeats 3 --batch-size 512 --width 80",
        "--network fastcnn --batches 1 --epoch-images 64 --repeats 1 --batch-size 16 --width 8",
    ),
    Part("speedrun", "bench_speedrun.py", 60, "--epochs 9 12 --repeats 3", f"{TINY} --repeats 1"),
    Part("share-1", "bench_sharing.py", 40, "--share 1 --repeats 1", f"--share 1 {FEW}"),
    Part("share-2", "bench_sharing.py", 50, "--share 2 --repeats 1", f"--share 2 {FEW}"),
    Part("share-4", "bench_sharing.py", 70, "--share 4 --repeats 1", f"--share 4 {FEW}"),
    Part("levels", "bench_levels.py", 270, "--repeats 5", f"{TINY} --repeats 1", minds_time=True),
)
TABLE = "table"  # the part that is worked out of share-1, share-2 and share-4


class Collected:
    """What was measured, and the file that holds it."""

    def __init__(self, options: argparse.Namespace, about: str) -> None:
        self.file: Path = options.json
        self.parts: dict[str, Any] = {}
        self.left_out: dict[str, str] = {}
        self.head = {"benchmark": "gpu", "rehearsal": options.rehearse, "machine": machine(), "data": about}
        self.start = time.monotonic()

    def add(self, name: str, part: dict[str, Any] | None, why_not: str | None) -> None:
        """Add what a part measured, all of it or what it had when it failed."""
        if part is not None:
            self.parts[name] = part
        if why_not is not None:
            self.left_out[name] = why_not + (": what it had measured by then is kept" if part else "")
            print(f"{name}: left out: {self.left_out[name]}", flush=True)
        self.write()

    def write(self) -> None:
        seconds = round(time.monotonic() - self.start, 1)
        content = {**self.head, "seconds": seconds, "parts": self.parts, "left_out": self.left_out}
        write(json.dumps(content, indent=1) + "\n", self.file)


def main() -> int:
    options = _options()
    if not options.rehearse and not torch.cuda.is_available():
        print("error: torch finds no GPU here; --rehearse tries the same on the CPU", file=sys.stderr)
        return 2
    if not options.rehearse and not lies_in(options.data_dir):
        rule = "as torchvision's cifar-10-batches-py/ or as cifar10/train.parquet and test.parquet"
        print(f"error: --data-dir: {options.data_dir} has no CIFAR-10, {rule}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _end)
    longer = LONGER if options.rehearse else 1
    end = time.monotonic() + 60 * options.minutes * longer
    with cifar10(options) as pictures, tempfile.TemporaryDirectory() as scratch:
        try:
            load_level(pictures.config, pictures.folders)  # decodes, once for all parts
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        collected = Collected(options, pictures.about)
        places = [f"--data-dir={pictures.folders.data}", f"--cache-dir={pictures.folders.cache}"]
        for part in PARTS:
            if part.name not in options.only:
                continue
            seconds = min(part.seconds * longer, end - time.monotonic())
            if seconds < LEAST:
                collected.add(part.name, None, f"the {options.minutes * longer:g} minutes were over")
                continue
            stand_ins = part.name == "levels" and options.rehearse and pictures.config.noise != LABELLED
            levels = ["--levels", *STAND_INS] if stand_ins else []
            command = _command(part, options.rehearse, seconds, [*places, *levels])
            print(f"\n--- {part.name}, at most {seconds:.0f} s: {' '.join(command)}", flush=True)
            collected.add(part.name, *measured(command, seconds, Path(scratch)))
        if TABLE in options.only:
            collected.add(TABLE, *_table(collected.parts))
    _say(collected)
    return 1 if collected.left_out else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    names = [*(part.name for part in PARTS), TABLE]
    text = "where the numbers go [%(default)s]"
    parser.add_argument("--json", type=Path, default=Path("build/benchmarks/gpu.json"), metavar="FILE", help=text)
    text = "of all parts together; what does not fit is left out; ten times as many in a rehearsal [%(default)s]"
    parser.add_argument("--minutes", type=float, default=MINUTES, metavar="M", help=text)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="PART", help=f"[{' '.join(names)}]")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, as small as can be")
    options = parser.parse_args()
    if not options.minutes > 0:
        parser.error(f"argument --minutes: {options.minutes:g} is refused: above 0")
    return options


def _command(part: Part, rehearse: bool, seconds: float, places: list[str]) -> list[str]:
    """The part's script, to be run by this Python; it adds --json itself."""
    device = ["--device", "cpu" if rehearse else "cuda"]
    timed = ["--seconds", f"{max(1.0, seconds - GRACE):.0f}"] if part.minds_time else []
    chosen = (part.rehearsal if rehearse else part.options).split()
    return [sys.executable, str(FOLDER / part.script), *device, *chosen, *timed, *places]


def measured(command: list[str], seconds: float, scratch: Path) -> tuple[dict[str, Any] | None, str | None]:
    """Run a script for at most so many seconds: what it wrote to its file, if anything, and why that is not all.

    All that it started ends with it.
    """
    with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as name:
        file, errors = Path(name) / "found.json", Path(name) / "errors"
        environment = os.environ | {"TMPDIR": name}  # what a script that is killed leaves behind goes with it
        start = time.monotonic()
        with errors.open("wb") as stream:
            child = subprocess.Popen([*command, "--json", str(file)], stderr=stream, env=environment, process_group=0)
            try:
                code = child.wait(seconds)
                why = None if code == 0 else f"it ended with exit code {code}: {_last_line(errors)}"
            except subprocess.TimeoutExpired:
                why = f"it took longer than {seconds:.0f} s, and was ended"
            finally:
                _kill(child)
        sys.stderr.write(errors.read_text(encoding="utf-8", errors="replace"))
        found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    if found is None:
        return None, why or "it wrote no numbers"
    del found["machine"]
    return {"command": " ".join(command), "seconds": round(time.monotonic() - start, 1), **found}, why


def _last_line(file: Path) -> str:
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def _kill(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):  # all of them have ended
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _table(parts: dict[str, Any]) -> tuple[dict[str, Any] | None, str | None]:
    """Time of the whole table of the study, by the share that is fastest of those that were measured."""
    shares = [part for name, part in parts.items() if name.startswith("share-")]
    tables = [each for part in shares for each in part["measurements"] if each["unit"] == "minutes"]
    if not tables:
        return None, "it is worked out of share-1, share-2 and share-4, and none of them was measured"
    return {"measurements": [min(tables, key=lambda each: min(each["median"].values()))]}, None


def _say(collected: Collected) -> None:
    """Print the medians of all parts, and what is left out."""
    print(f"\n{'rehearsal, whose numbers say nothing' if collected.head['rehearsal'] else 'found'}, medians:")
    for name, part in collected.parts.items():
        for each in part["measurements"]:
            values = ", ".join(f"{side} {value:.4g}" for side, value in each["median"].items())
            print(f"  {name}: {each['what']} ({each['unit']}): {values}")
    for name, why in collected.left_out.items():
        print(f"  left out: {name}: {why}")
    print(f"all numbers: {collected.file}", flush=True)


def _end(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)  # so that what was started is ended


if __name__ == "__main__":
    sys.exit(main())
