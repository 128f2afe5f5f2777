"""Imports run one way, search -> trainables, and each heavy library stays in the few files that are about it."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN_IN_TRAINABLES = {"search", "ray", "optuna", "mlflow", "pydantic", "typer"}
ALLOWED_IN_SEARCH = {  # library -> the only modules of `search` that import it
    "ray": {"searcher", "submit", "pruning", "trial", "runner", "cluster", "doctor"},
    "optuna": {"space", "store", "sampling", "searcher", "pruning", "pruners", "patience", "journal", "kept", "doctor"},
    "mlflow": {"tracking"},
}
LIGHT = (
    "study",
    "study_file",
    "sections",
    "parameters",
    "history",
    "records",
    "selection",
    "rows",
    "tables",
    "levels",
    "settings",
    "doctor.checks",
    "services",
)  # load without any of the three


def imports(source: str) -> set[str]:
    """The top-level packages that a module imports anywhere, functions and type checking included."""
    nodes = list(ast.walk(ast.parse(source)))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    froms = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.split(".")[0] for name in plain | froms}


def offences(package: str, forbidden: dict[str, set[str]]) -> list[str]:
    """`file imports library` for every import of a forbidden library outside the modules that may have it."""
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        module = path.relative_to(ROOT / package).parts[0].removesuffix(".py")
        used = imports(path.read_text(encoding="utf-8"))
        bad = [library for library, modules in forbidden.items() if library in used and module not in modules]
        found += [f"{path.relative_to(ROOT)} imports {library}" for library in bad]
    return found


def test_imports_are_found_wherever_they_stand() -> None:
    source = "import a.b, c\nfrom d.e import f\nfrom . import g\nfrom .h import i\ndef j():\n    import k\n"
    assert imports(source) == {"a", "c", "d", "k"}


def test_trainables_know_nothing_of_the_search() -> None:
    assert offences("trainables", {library: set() for library in FORBIDDEN_IN_TRAINABLES}) == []


def test_ray_optuna_and_mlflow_stay_in_their_modules() -> None:
    assert offences("search", ALLOWED_IN_SEARCH) == []


@pytest.mark.parametrize("module", LIGHT)
def test_light_module_loads_no_heavy_library(module: str) -> None:
    code = f"import json, sys, search.{module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"search/{module}.py does not load alone:\n{done.stderr}"
    heavy = set(ALLOWED_IN_SEARCH) & set(json.loads(done.stdout))
    assert not heavy, f"search/{module}.py loads {', '.join(sorted(heavy))}"


def test_driver_runs_without_torch() -> None:
    code = "import sys, search.runner; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"  # half a GB, and seconds of its start


def test_workers_train_without_torchvision_and_scikit_learn() -> None:
    code = "import sys, trainables.datasets, trainables.train; print({'torchvision', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"  # 3 of the 5 s that their imports take, and 300 MB each


def test_analysis_without_attacks_needs_no_foolbox() -> None:
    code = "import sys; sys.modules['foolbox'] = None; import trainables.analysis.analyse"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")  # a bare GPU machine may lack it


def test_studies_are_choices_without_computation() -> None:
    files = [path for path in (ROOT / "studies").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    strange = [str(path.relative_to(ROOT)) for path in files if path.suffix != ".yaml" and path.name != "__init__.py"]
    assert strange == [], "studies/ holds YAML files and an __init__.py only"
    body = ast.parse((ROOT / "studies" / "__init__.py").read_text(encoding="utf-8")).body
    computed = [ast.unparse(node) for node in body if not _is_text(node)]
    assert computed == [], "studies/__init__.py holds a docstring only"


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
