"""gpu.sh, rehearsed on the CPU of a bare machine. What it measures is for a GPU."""

import json
import math
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import gpu
import pytest
import torch
from bench_levels import CE, LS, RULES
from bench_sharing import TABLE
from cifar import write_random_pictures
from harness import OURS

from tests.bare_machine import bare_machine
from tests.conftest import ROOT
from tosmooth.trainables.data.cifar import PARTS

SCRIPT = "tests/benchmarks/gpu.sh"
UNITS = {  # of the measurements of each part, in their order
    "resnet34": ["images/s", "percent", "images/s", "percent"],
    "fastcnn": ["images/s", "percent", "images/s", "percent"],
    "speedrun": ["s"],
    "share-1": ["1/h", "minutes"],
    "share-2": ["1/h", "minutes"],
    "share-4": ["1/h", "minutes"],
    "levels": ["percent"] * 8 + ["s"],
    "table": ["minutes"],
}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], list[str]]:
    """A bare machine with random pictures: its checkout, its environment, and the options that name the pictures."""
    folder = tmp_path_factory.mktemp("bare")
    checkout, environment = bare_machine(folder, "tests/benchmarks")
    write_random_pictures(folder / "data" / "cifar10", PARTS)
    places = [f"--data-dir={folder / 'data'}", f"--cache-dir={folder / 'cache'}"]
    return checkout, os.environ | environment | {"PYTHON": sys.executable}, places


def rehearse(
    machine: tuple[Path, dict[str, str], list[str]], *options: str
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    checkout, environment, places = machine
    file = checkout / "found" / "gpu.json"
    command = [str(checkout / SCRIPT), "--rehearse", *places, "--json", str(file), *options]
    done = subprocess.run(command, env=environment, cwd=checkout.parent, capture_output=True, text=True)
    assert file.exists(), done.stdout + done.stderr
    return done, json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_bare_machine_measures_every_part(machine: tuple[Path, dict[str, str], list[str]]) -> None:
    done, found = rehearse(machine)
    assert done.returncode == 0, done.stdout + done.stderr
    assert found["left_out"] == {}
    assert found["rehearsal"] is True
    assert found["data"].startswith("no CIFAR-10 found: random pictures")
    parts = found["parts"]
    in_float32 = {name: [each["what"] for each in parts[name]["measurements"]] for name in ("resnet34", "fastcnn")}
    for name, units in UNITS.items():
        measurements = [each for each in parts[name]["measurements"] if each["what"] != "what bfloat16 gives"]
        assert [each["unit"] for each in measurements] == units, in_float32
        for each in measurements:
            assert each["what"] in done.stdout
            assert each["values"].keys() == each["median"].keys() != set()
            values = [value for side in each["values"].values() for value in side]
            assert all(math.isfinite(value) and value >= 0 for value in values)
            assert each["unit"] == "percent" or min(values) > 0
    speed = parts["resnet34"]["measurements"][0]
    assert speed["ratio"]["classic loop, float32"] == pytest.approx(
        speed["values"][OURS][0] / speed["values"]["classic loop, float32"][0]
    )
    rates = [parts[f"share-{n}"]["measurements"][0]["median"][f"{n} at once"] for n in (1, 2, 4)]
    (table,) = parts["table"]["measurements"]
    assert list(table["median"].values()) == pytest.approx([60 * TABLE / max(rates)])
    assert_levels_are_compared_fairly(parts["levels"])


def assert_levels_are_compared_fairly(part: dict[str, Any]) -> None:
    """Four arms a level and rule; the best two are those of the first seed, which counts for nothing else."""
    measurements, runs = part["measurements"], part["runs"]
    for start, level in ((0, "symmetric-0.1"), (4, "symmetric-0.4")):
        of_level = measurements[start : start + 4]
        assert [each["what"] for each in of_level[:3]] == [f"{level}: test accuracy, {rule}" for rule in RULES]
        tried = [run for run in runs if (run["level"], run["seed"]) == (level, 0)]
        assert len(tried) == 8
        ranked = sorted(tried[2:], key=lambda run: -run["epochs"][-1]["val_accuracy"])
        fresh = [run for run in runs if (run["level"], run["seed"]) == (level, 1)]
        best = [run["arm"] for run in ranked[:2]]
        assert [run["arm"] for run in fresh] == [{"rate": 0.0, "warmup": 0}, {"rate": 0.1, "warmup": 0}, *best]
        last = of_level[0]["values"]
        assert list(last)[:2] == [CE.name, LS.name]
        assert list(last.values()) == [[run["epochs"][-1]["test_accuracy"]] for run in fresh]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_part_that_fails_costs_the_others_nothing(machine: tuple[Path, dict[str, str], list[str]]) -> None:
    script = machine[0] / "tests" / "benchmarks" / "bench_sharing.py"
    text = script.read_text(encoding="utf-8")
    script.write_text(text.replace("\n    main()\n", '\n    raise RuntimeError("no luck")\n'), encoding="utf-8")
    try:
        done, found = rehearse(machine, "--only", "share-1", "speedrun", "table")
    finally:
        script.write_text(text, encoding="utf-8")
    assert done.returncode == 1
    assert list(found["parts"]) == ["speedrun"]
    why = "it ended with exit code 1: RuntimeError: no luck"
    assert found["left_out"]["share-1"] == why
    assert "none of them was measured" in found["left_out"]["table"]
    assert f"left out: share-1: {why}" in done.stdout


@pytest.mark.slow
def test_what_there_is_no_time_for_is_left_out(machine: tuple[Path, dict[str, str], list[str]]) -> None:
    done, found = rehearse(machine, "--minutes", "0.001", "--only", "speedrun", "levels")
    assert done.returncode == 1
    assert found["parts"] == {}
    assert found["left_out"] == dict.fromkeys(["speedrun", "levels"], "the 0.01 minutes were over")


def test_a_part_that_hangs_is_ended_with_all_it_started_and_what_it_had_by_then_is_kept(tmp_path: Path) -> None:
    code = """import json, subprocess, sys, time
started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
json.dump({"machine": {}, "measurements": [started.pid]}, open(sys.argv[-1], "w"))
time.sleep(600)"""
    part, why = gpu.measured([sys.executable, "-c", code], 6, tmp_path)
    assert why == "it took longer than 6 s, and was ended"
    assert part is not None
    (started,) = part["measurements"]
    assert not alive(started)


def alive(process: int) -> bool:
    """True if a process runs: one that was killed may wait to be buried by whoever adopted it."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_part_that_says_nothing_is_no_part(tmp_path: Path) -> None:
    assert gpu.measured([sys.executable, "-c", "pass"], 60, tmp_path) == (None, "it wrote no numbers")
    silent = gpu.measured([sys.executable, "-c", "raise SystemExit(3)"], 60, tmp_path)
    assert silent == (None, "it ended with exit code 3: it said nothing")


def test_a_python_that_lacks_what_is_needed_is_refused(tmp_path: Path) -> None:
    venv.create(tmp_path / "empty", symlinks=True)
    python = tmp_path / "empty" / "bin" / "python"
    done = subprocess.run(
        [str(ROOT / SCRIPT)], env={**os.environ, "PYTHON": str(python)}, capture_output=True, text=True
    )
    assert done.returncode == 2
    lacks = f"error: {python} has no torch, torchvision, pyarrow, scikit-learn; PYTHON names another Python\n"
    assert done.stderr == lacks


def call(monkeypatch: pytest.MonkeyPatch, *options: str, has_gpu: bool) -> int:
    monkeypatch.setattr(sys, "argv", ["gpu.py", *options])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    return gpu.main()


def test_without_a_gpu_nothing_is_begun(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "--json", str(tmp_path / "gpu.json"), has_gpu=False) == 2
    assert capsys.readouterr().err == "error: torch finds no GPU here; --rehearse tries the same on the CPU\n"
    assert not (tmp_path / "gpu.json").exists()


def test_without_data_nothing_is_begun(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "--data-dir", str(tmp_path), has_gpu=True) == 2
    assert capsys.readouterr().err.startswith(f"error: --data-dir: {tmp_path} has no CIFAR-10, as torchvision's")


def test_time_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        call(monkeypatch, "--minutes", "0", has_gpu=True)
    assert refused.value.code == 2
    assert "--minutes: 0 is refused: above 0" in capsys.readouterr().err


def test_the_limits_of_all_parts_but_the_one_that_minds_its_time_leave_it_its_first_seed() -> None:
    """The part takes what is left: that shall suffice for a seed of eight rates on two levels, at 5 s a run."""
    others = sum(part.seconds for part in gpu.PARTS if not part.minds_time)
    assert [part.name for part in gpu.PARTS if part.minds_time] == [gpu.PARTS[-1].name]
    assert 60 * gpu.MINUTES - others >= gpu.GRACE + 2 * 8 * 5
