"""`trainables` on a machine that has a checkout and the few libraries that training needs, and nothing installed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bare_machine import bare_machine, missing

TRIAL = ("--dataset", "twonorm", "--noise", "symmetric-0.4", "--rate", "-0.5", "--epochs", "2", "--json")


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkout of such a machine; this process's children see what is there."""
    checkout, environment = bare_machine(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return checkout


def test_what_a_bare_machine_lacks_is_missing_in_these_tests(bare: Path) -> None:
    lacks = missing()
    assert {"pydantic", "ray", "optuna", "mlflow", "typer", "rich", "yaml", "matplotlib", "cleanlab"} <= set(lacks)
    assert not {"torch", "torchvision", "pyarrow", "sklearn", "numpy"} & set(lacks)
    done = subprocess.run([sys.executable, "-c", "import pydantic"], cwd=bare, capture_output=True, text=True)
    assert "ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize("module", ["tosmooth.trainables", "trainables"])
def test_a_trial_runs_from_a_checkout_where_nothing_is_installed(bare: Path, module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, *TRIAL], cwd=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    opening, *reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert opening["trial"]["rate"] == -0.5
    assert [report["epoch"] for report in reports] == [1, 2]
