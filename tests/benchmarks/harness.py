"""What the benchmarks share: sides measured in turn, medians and ratios, the machine, a table and a JSON file.

Machines are shared and noisy. So a benchmark compares sides that run one after another in one call, again and again; a
ratio is taken within each repeat and its median reported, and the spread beside it says how far to trust it.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

OURS = "tosmooth"  # the name of our own side, where there is one


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One quantity on several sides; `values` holds one number a repeat for each side."""

    what: str
    unit: str
    values: Mapping[str, list[float]]
    more_is_better: bool = False
    goal: float | None = None  # the ratio to the other sides that is to be reached
    facts: Mapping[str, Any] = field(default_factory=dict)  # what else is to be known, for the JSON file and a line

    def ratios(self, other: str) -> list[float]:
        """How many times better our side is than `other`, a repeat each."""
        pairs = zip(self.values[OURS], self.values[other], strict=True)
        return [ours / theirs if self.more_is_better else theirs / ours for ours, theirs in pairs]


def in_turn(sides: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Call every side `repeats` times, in turn, every second time in reverse order: a drift hits all alike."""
    values: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats):
        for name in list(sides) if repeat % 2 == 0 else reversed(list(sides)):
            values[name].append(sides[name]())
    return values


def arguments(description: str | None, repeats: int) -> argparse.ArgumentParser:
    """A parser with the options of every benchmark; `description` is the module's docstring."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=repeats, help="times that each side runs (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number there, too")
    return parser


def report(title: str, measurements: list[Measurement], file: Path | None, **details: Any) -> None:
    """Print a table of medians and ratios with the machine under it; write all of it to `file` where one is given."""
    print(f"{title}\n{'=' * len(title)}")
    for each in measurements:
        print(lines(each))
    print("; ".join(f"{name}: {value}" for name, value in machine().items()), flush=True)
    keep(title, measurements, file, **details)


def keep(title: str, measurements: list[Measurement], file: Path | None, **details: Any) -> None:
    """Write what has been measured so far to `file`, where one is given; `details` are for the file alone."""
    from tosmooth.trainables.files.atomic_write import write  # a driver that is measured does without

    if file is not None:
        found = {"measurements": [summary(each) for each in measurements], **details}
        write(json.dumps({"benchmark": title, "machine": machine(), **found}, indent=1) + "\n", file)


def machine() -> dict[str, Any]:
    """Where this runs: numbers mean nothing without it."""
    import torch  # half a GB, which a driver that is measured does without

    found: dict[str, Any] = {"processor": _processor(), "cores": len(_cores())}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    capabilities = torch.cpu.get_capabilities()
    found["bf16 units"] = [name for name in ("avx512_bf16", "amx_bf16") if capabilities.get(name)]
    return found | {"python": platform.python_version(), "torch": torch.__version__, "commit": _commit()}


def lines(measurement: Measurement) -> str:
    """Table of a measurement: a row a side, then what else is known of it."""
    rows = [f"{measurement.what} ({measurement.unit})"]
    for side, values in measurement.values.items():
        row = f"  {side:<42} {statistics.median(values):>10.4g}   [{min(values):.4g} to {max(values):.4g}]"
        if side != OURS and OURS in measurement.values:
            ratios = measurement.ratios(side)
            row += f"   ours is {statistics.median(ratios):.2f} x better [{min(ratios):.2f} to {max(ratios):.2f}]"
        rows.append(row)
    if measurement.goal is not None:
        rows.append(f"  to be reached: {measurement.goal:g} x")
    rows += [f"  {name}: {value}" for name, value in measurement.facts.items()]
    return "\n".join(rows)


def summary(measurement: Measurement) -> dict[str, Any]:
    """What a JSON file says of a measurement."""
    medians = {side: statistics.median(values) for side, values in measurement.values.items()}
    others = [side for side in measurement.values if side != OURS and OURS in measurement.values]
    ratios = {side: statistics.median(measurement.ratios(side)) for side in others}
    return asdict(measurement) | {"median": medians, "ratio": ratios}


def _cores() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in names if line.startswith("model name")), platform.processor())


def _commit() -> str:
    root = Path(__file__).resolve().parents[2]
    try:
        return subprocess.check_output(["git", "-C", str(root), "describe", "--always", "--dirty"], text=True).strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
