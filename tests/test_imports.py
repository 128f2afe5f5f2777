"""Heavy libraries stay unloaded until they are needed. Who may import whom: the contracts in pyproject.toml."""

import ast
import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

SERVICES = {"ray", "optuna", "mlflow"}
HEAVY = SERVICES | {"torch", "scipy", "rich"}  # seconds of a start together
SPEC = [f"search.spec.{path.stem}" for path in sorted((ROOT / "search" / "spec").glob("[!_]*.py"))]
LIGHT = {  # loads without any of these
    **dict.fromkeys(["search.records", *SPEC, "search.storage.home", "search.storage.history"], HEAVY),
    "search.settings": HEAVY,
    "search.api.settings": HEAVY,
    "search.preflight.checks": HEAVY,
    "search.preflight.reachability": HEAVY,
    "search.selection.comparison": SERVICES,
    "search.report.best_rates": SERVICES,
    "search.report.tables": SERVICES,
    "search.report.describe": SERVICES,
    "search.run.level_measurement": HEAVY,
}


@pytest.mark.parametrize("module", LIGHT)
def test_light_module_loads_no_heavy_library(module: str) -> None:
    code = f"import json, sys, tosmooth.{module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{module} does not load alone:\n{done.stderr}"
    heavy = LIGHT[module] & set(json.loads(done.stdout))
    assert not heavy, f"{module} loads {', '.join(sorted(heavy))}"


def test_the_sampler_is_loaded_when_it_is_asked_for() -> None:
    heavy = "sorted({'optuna', 'scipy', 'torch', 'ray', 'mlflow'} & set(sys.modules))"
    code = f"import sys, tosmooth; print({heavy}); tosmooth.PosteriorSampler; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "['optuna', 'scipy']"]
    wrong = subprocess.run([sys.executable, "-c", "import tosmooth; tosmooth.Sampler"], cwd=ROOT, capture_output=True)
    assert b"AttributeError: module 'tosmooth' has no attribute 'Sampler'" in wrong.stderr


def test_driver_runs_without_torch() -> None:
    code = "import sys, tosmooth.search.run.runner; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"  # half a GB, and seconds of its start


def test_workers_train_without_torchvision_and_scikit_learn() -> None:
    modules = "sys, tosmooth.trainables.data.datasets, tosmooth.trainables.training.trainer"
    code = f"import {modules}; print({{'torchvision', 'sklearn'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"  # 3 of the 5 s that their imports take, and 300 MB each


def test_studies_are_choices_without_computation() -> None:
    files = [path for path in (ROOT / "studies").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    strange = [str(path.relative_to(ROOT)) for path in files if path.suffix != ".yaml" and path.name != "__init__.py"]
    assert strange == [], "studies/ holds YAML files and an __init__.py only"
    body = ast.parse((ROOT / "studies" / "__init__.py").read_text(encoding="utf-8")).body
    computed = [ast.unparse(node) for node in body if not _is_text(node)]
    assert computed == [], "studies/__init__.py holds a docstring only"


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
