"""Private names of libraries: each that is used here is listed, and is still there in the versions that are installed.

A library may move or rename them in any version, and says so nowhere: so pyproject.toml binds these libraries to the
versions that were tested. Whoever raises one runs this file first.
"""

import ast
import importlib
import inspect
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow.store.tracking.sqlalchemy_store as mlflow_store
import optuna
import pytest
import ray
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from packaging.requirements import Requirement
from packaging.version import Version
from ray._private import accelerators
from ray._private.node import Node
from ray._private.worker import print_to_stdstream
from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined] # its stub lacks it
from ray.job_config import JobConfig
from ray.tune.execution.tune_controller import TuneController

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("search", "trainables", "studies", "docs", "tests")
SCANNED = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
OURS = {"tosmooth", *FOLDERS, *(path.stem for path in SCANNED)}  # benchmarks import each other by their bare names
PUBLIC = {"_asdict", "_exit", "_fields", "_replace"}  # of named tuples and of `os`, documented
PUBLIC |= {"_data_files", "_indices_data_files", "_indices_files", "_type"}  # keys in files of Hugging Face
PUBLIC |= {"_TOSMOOTH_COMPLETE"}  # how click's completion is asked, documented
PUBLIC |= {"_ext", "_static"}  # folders of the documentation
BOUND = ("ray", "optuna", "mlflow")  # to one minor version


def has(*owners: object) -> Callable[[str], bool]:
    return lambda name: all(hasattr(owner, name) for owner in owners)


def is_set_by_tune(name: str) -> bool:
    """Whether Tune's controller has such an attribute; it is there only once one was made, with all that takes."""
    return f"self.{name}" in inspect.getsource(TuneController)


def is_read_by_init(name: str) -> bool:
    """Whether `ray.init` takes such an option, among those that it names nowhere."""
    return f'"{name}"' in inspect.getsource(ray.init)


def is_there(path: str) -> bool:
    """Whether a name with its modules is."""
    parts = path.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        return all(hasattr(found, part) and ((found := getattr(found, part)), True)[1] for part in parts[end:])
    return False


STUDY = optuna.create_study()
PRIVATE: dict[str, Callable[[str], bool]] = {  # name -> whether it is there
    # Ray of our own: no look at the network, no server, no words; its token; what this machine has.
    "ray._private.accelerators": is_there,
    "ray._private.accelerators.get_accelerator_manager_for_resource": is_there,
    "ray._private.node.Node": is_there,
    "ray._private.node.Node.start_api_server": is_there,
    "ray._private.ray_constants": is_there,
    "ray._private.ray_constants.ENABLE_RAY_CLUSTER": is_there,
    "ray._private.ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR": is_there,
    "ray._private.ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV": is_there,
    "_py_driver_sys_path": has(JobConfig()),
    "_temp_dir": is_read_by_init,
    "ray._private.worker": is_there,
    "ray._private.worker._global_node": is_there,
    "ray._private.worker.print_to_stdstream": is_there,
    "ray._raylet.AuthenticationTokenLoader": is_there,
    "ray._raylet.AuthenticationTokenLoader.instance": is_there,
    "ray._raylet.Config": is_there,
    "ray._raylet.Config.initialize": is_there,
    # Tune, made to forget the trials that ended.
    "_failed_trials": is_set_by_tune,
    "_stopped_trials": is_set_by_tune,
    "_trials_to_cache": is_set_by_tune,
    # Optuna: ids of studies and trials, the storage of a study, what its cache calls of a database, what a distribution
    # holds.
    "optuna.study._frozen.FrozenStudy": is_there,
    "_storage": has(STUDY),
    "_study_id": has(STUDY),
    "_trial_id": has(STUDY.ask(), optuna.create_trial(value=0.0)),
    "_contains": has(FloatDistribution(0, 1), IntDistribution(0, 1), CategoricalDistribution((0, 1))),
    "_create_new_trial": has(RDBStorage),
    "_get_best_trial_id": has(RDBStorage),
    "_get_trials": has(RDBStorage),
    "_set_trial_param": has(RDBStorage),
    "_cached_storage": has(optuna.storages),
    # MLflow: its connections by address; what `mlflow gc` calls.
    "_engine_map": has(mlflow_store.SqlAlchemyStore),
    "_hard_delete_experiment": has(mlflow_store.SqlAlchemyStore),
    "_hard_delete_run": has(mlflow_store.SqlAlchemyStore),
    # PyTorch.
    "_forward_pre_hooks": has(torch.nn.Linear(1, 1)),
    "_standard_gamma": has(torch),
    "torch.utils._python_dispatch.TorchDispatchMode": is_there,
}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and len(name) > 1 and name not in PUBLIC


def imported(tree: ast.Module) -> dict[str, str]:
    """What a file imports of private modules, or of others under a private name: here called -> in full."""
    found = {}
    for node in ast.walk(tree):
        names = node.names if isinstance(node, ast.Import | ast.ImportFrom) else []
        base = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        for alias in names:
            full = f"{base}{alias.name}"
            if any(map(is_private, full.split("."))) and full.split(".")[0] not in OURS:
                found[alias.asname or alias.name] = full
    return found


def made(tree: ast.Module) -> set[str]:
    """The private names that a file makes itself: functions, classes, variables, attributes of its own objects.

    A method that calls the one above it by `super()` is an override: its name is another's.
    """
    found, above = set(), set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                found.add(name)
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr=name):
                above.add(name)
    return set(filter(is_private, found - above))


def used(tree: ast.Module, texts: bool) -> Iterator[str]:
    """The private names of others that a file uses: imports, attributes, and with `texts` those given as texts."""
    modules = imported(tree)
    yield from modules.values()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in modules:
                yield f"{modules[name]}.{attribute}"
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(attr=name) if is_private(name):
                yield name
            case ast.Constant(value=str(name)) if texts and name.isidentifier() and is_private(name):
                yield name


def places() -> dict[str, list[str]]:
    """Private names of libraries -> our files that use them.

    A name that the file itself makes is ours. Tests look into our own objects: there any file's names are ours.
    """
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SCANNED if path != Path(__file__)}
    ours = set().union(*map(made, trees.values()))
    found = defaultdict(set)
    for path, tree in trees.items():
        place = path.relative_to(ROOT)
        test = place.parts[0] == "tests"
        own = ours - PRIVATE.keys() if test else made(tree)
        for name in set(used(tree, texts=not test)) - own:
            found[name].add(place.as_posix())
    return {name: sorted(files) for name, files in found.items()}


PLACES = places()


@pytest.mark.parametrize("name", PRIVATE)
def test_private_name_is_still_there(name: str) -> None:
    where = ", ".join(PLACES.get(name, ["no file: take it off the list"]))
    assert name in PLACES, f"{name} is used by {where}"
    assert PRIVATE[name](name), f"{name} is gone from this version; {where} needs another way"


def test_every_private_name_in_use_is_listed() -> None:
    unknown = [f"{', '.join(files)}: {name}" for name, files in PLACES.items() if name not in PRIVATE]
    assert unknown == [], "private names of a library: list them, with a way to see that they are there"


def test_what_is_put_in_their_place_is_called_as_they_were() -> None:
    assert list(inspect.signature(print_to_stdstream).parameters) == ["data", "ignore_prefix"]
    assert list(inspect.signature(Node.start_api_server).parameters) == [
        "self",
        "include_dashboard",
        "raise_on_failure",
    ]
    assert hasattr(AuthenticationTokenLoader.instance(), "reset_cache")
    gpus = accelerators.get_accelerator_manager_for_resource("GPU")
    assert hasattr(gpus, "get_current_node_num_accelerators")
    assert hasattr(gpus, "get_current_node_accelerator_type")


def test_uses_are_found_however_they_are_written() -> None:
    source = """
import lib._a
from lib import _b, c
from lib._d import e as f
class Own(c):
    def _own(self): self._mine = _b.x
    def _theirs(self): return super()._theirs() or self._mine
for name in ("_text", "_", "__call__"): getattr(c, name)
c.q._attribute, f.g, c._replace, Own()._own, c.__dict__
"""
    tree = ast.parse(source)
    found = {"lib._a", "lib._b", "lib._b.x", "lib._d.e", "lib._d.e.g", "_theirs", "_text", "_attribute"}
    assert set(used(tree, texts=True)) - made(tree) == found
    assert "_text" not in set(used(tree, texts=False))


@pytest.mark.parametrize("package", BOUND)
def test_libraries_are_bound_to_the_minor_version_that_is_locked(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    bounds = [each for words in lists for each in map(Requirement, words) if each.name == package]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    (locked,) = [Version(line.split()[0].partition("==")[2]) for line in lock if line.startswith(f"{package}==")]
    assert bounds
    for bound in bounds:
        assert bound.specifier.contains(locked)
        before = f"{locked.major}.{locked.minor - 1}.99" if locked.minor else f"{locked.major - 1}.99"
        for other in (before, f"{locked.major}.{locked.minor + 1}.0"):
            assert not bound.specifier.contains(other), f"{bound}: {locked} is what was tested"
