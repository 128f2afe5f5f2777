"""The benchmarks run, and their arithmetic is right. What they measure is for `make bench`, on a machine at rest."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from harness import OURS, Measurement, in_turn, report

FOLDER = Path(__file__).resolve().parent
SMALL = {
    "bench_family": ["--studies", "2", "--only", "twonorm-two-phase", "--no-leave-out"],
    "bench_features": ["--pictures", "40", "--rows", "2000", "--repeats", "1"],
    "bench_growth": ["--trials", "20", "--window", "5"],
    "bench_levels": ["--device", "cpu", "--epochs", "1", "--size", "400", "--width", "8", "--repeats", "1"],
    "bench_memory": ["--repeats", "1"],
    "bench_overhead": ["--trials", "10", "--repeats", "1"],
    "bench_samplers": ["--studies", "2", "--surfaces", "cifar10n-cpu", "--samplers", "Optuna random", "--jobs", "1"],
    "bench_search": ["--studies", "2"],
    "bench_pruning": ["--studies", "2", "--trials", "6", "--only", "none", "median, same epoch, grace 2"],
    "bench_sharing": ["--device", "cpu", "--share", "1", "2", "--trials", "1", "--repeats", "1"],
    "bench_speedrun": [],  # says that there is no GPU
    "bench_startup": ["--repeats", "1"],
    "bench_study": ["--trials", "2", "--size", "1000", "--epochs", "2", "--repeats", "1"],
    "bench_training": ["--device", "cpu", "--batches", "2", "--epoch-images", "256", "--repeats", "1"],
}
LONG = ("bench_overhead", "bench_sharing")  # minutes


def measurement(more_is_better: bool) -> Measurement:
    values = {OURS: [2.0, 4.0, 3.0], "other": [1.0, 1.0, 6.0]}
    return Measurement(what="speed", unit="1/s", values=values, more_is_better=more_is_better, goal=2)


def test_ratio_says_how_many_times_better_ours_is_in_each_repeat() -> None:
    assert measurement(more_is_better=True).ratios("other") == [2.0, 4.0, 0.5]
    assert measurement(more_is_better=False).ratios("other") == [0.5, 0.25, 2.0]


def test_sides_take_turns_and_every_second_turn_is_reversed() -> None:
    calls: list[str] = []

    def side(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    values = in_turn({"a": lambda: side("a"), "b": lambda: side("b")}, 3)
    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert values == {"a": [1.0, 4.0, 5.0], "b": [2.0, 3.0, 6.0]}


def test_report_writes_every_number_with_medians_and_ratios(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new" / "speed.json"
    report("Speed", [measurement(more_is_better=True)], file)
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["benchmark"] == "Speed"
    assert found["machine"]["cores"] >= 1
    (one,) = found["measurements"]
    assert one["values"] == {OURS: [2.0, 4.0, 3.0], "other": [1.0, 1.0, 6.0]}
    assert one["median"] == {OURS: 3.0, "other": 1.0}
    assert one["ratio"] == {"other": 2.0}  # the median of the ratios, not the ratio of the medians
    assert "ours is 2.00 x better [0.50 to 4.00]" in capsys.readouterr().out


def test_every_benchmark_is_tried_here_and_says_how_to_run_it_alone() -> None:
    scripts = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("bench_*.py")}
    assert scripts.keys() == SMALL.keys()
    for name, text in scripts.items():
        docstring = text.split('"""')[1]
        assert f"python tests/benchmarks/{name}.py" in docstring
        assert "--json FILE" in docstring


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] * (name in LONG)) for name in SMALL])
def test_benchmark_runs_and_writes_finite_numbers(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    # Without data they measure with random pictures, but for those with human labels, which are skipped then.
    human = name in ("bench_levels", "bench_study")
    data: Path = request.getfixturevalue("real_data") if human else tmp_path / "none"
    file = tmp_path / "found.json"
    command = [sys.executable, str(FOLDER / f"{name}.py"), *SMALL[name], "--json", str(file)]
    environment = os.environ | {"TOSMOOTH_DATA_DIR": str(data)}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if name == "bench_speedrun" and not torch.cuda.is_available():
        assert "no GPU" in done.stdout
        return
    measurements = json.loads(file.read_text(encoding="utf-8"))["measurements"]
    values = [value for each in measurements for side in each["values"].values() for value in side]
    assert values
    assert all(math.isfinite(value) for value in values)
