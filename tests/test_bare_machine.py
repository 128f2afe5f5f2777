"""`trainables` on a machine that has a checkout and the few libraries that training needs, and nothing installed."""

import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

THERE = ("torch", "torchvision", "pyarrow", "scikit-learn", "numpy")
TRIAL = ("--dataset", "twonorm", "--noise", "symmetric-0.4", "--rate", "-0.5", "--epochs", "2", "--json")


def closure(names: tuple[str, ...]) -> set[str]:
    """The distributions that these need, themselves included, as they are installed here."""
    found: set[str] = set()
    left = [*names]
    while left:
        name = canonicalize_name(left.pop())
        if name in found:
            continue
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # another platform's
            continue
        found.add(name)
        wanted = [Requirement(line) for line in needed]
        left += [each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


def missing() -> list[str]:
    """The modules that such a machine lacks: all that is installed here for anything else."""
    there = closure(THERE)
    return [
        module
        for module, distributions in metadata.packages_distributions().items()
        if module.isidentifier() and not there & {canonicalize_name(name) for name in distributions}
    ]


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout; Python finds there, and in its children, no other module than those of `THERE`."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists() and name.split("/")[0] in ("tosmooth", "trainables", "search", "studies"):
            (tmp_path / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / "checkout" / name, follow_symlinks=False)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(f"import sys\nsys.modules |= dict.fromkeys({missing()})\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    return tmp_path / "checkout"


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
